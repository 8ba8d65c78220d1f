"""Checks the commands in the docs: runs them if possible, else checks them against `sam-label`'s options.

`sam-label run` runs until it would start Ray, so its input, options, weights and output are checked.
"""

import re
import shlex
from pathlib import Path

import pytest
import typer

from jobs.cli import app, main
from jobs.verbosity import verbosity_of

MAKEFILE = Path(__file__).parents[2] / "Makefile"
# Commands that are not run here, and why; their names, options and number of arguments are still checked.
NOT_RUN = {
    r"\w+://": "there is no such bucket here",
    r" /shared/": "there is no such disk here",
    r"~/": "there is no such home here",
    r"^sam-label models pull ": "it downloads gigabytes: tests/unit/pipeline/weights/test_models.py",
    r" --format geo(json|package)$": "no photo has a place: tests/unit/pipeline/export/test_geopackage.py",
    r"^sam-label (submit|doctor|bench) ": "it needs a cluster or a whole machine",
}
# Commands of other programs, by their first words.
OTHERS = (
    *(
        "export ",
        "python3 -m venv ",
        "pip install ",
        ".venv/bin/pip install ",
        "~/sam-label/bin/pip install ",
    ),
    *("cp -r infra/", "docker ", "kubectl ", "ray ", "sbatch ", "squeue "),
)


def check_command(line: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs the command, or checks its arguments; `shown` is the output that the page shows below it.

    Raises: AssertionError, and any error of parsing.
    """
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words[0] == "make":
        targets = MAKEFILE.read_text(encoding="utf-8")
        assert all(re.search(rf"^{word}:", targets, re.MULTILINE) for word in words[1:]), line
    elif words[0] != "sam-label":
        assert line.startswith(OTHERS), f"{line!r} is no command that is known here; see {__file__}"
    elif shown.startswith("sam-label: "):  # the page shows a mistake
        code, output = _run(words[1:], capsys)
        assert code != 0
        assert output.strip() == shown
    elif any(re.search(pattern, shlex.join(words)) for pattern in NOT_RUN):
        parse(words[1:])
    else:
        code, output = _run(_without_ray(words[1:]) if words[1] == "run" else words[1:], capsys)
        assert code == 0, f"{line}: {output}"


def parse(arguments: list[str]) -> None:
    """Checks that the command accepts these arguments. Raises: Typer's error."""
    command: typer.core.TyperCommand | typer.core.TyperGroup = typer.main.get_command(app)
    rest, name, context = verbosity_of(arguments)[1], "sam-label", None
    while isinstance(command, typer.core.TyperGroup):
        context = command.make_context(name, rest, parent=context)
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, rest, parent=context)


def check_mention(text: str) -> None:
    """Checks that a command in a sentence and its options exist; arguments may be left out."""
    words = text.split()[1:]
    command = typer.main.get_command(app)
    while words and isinstance(command, typer.core.TyperGroup):
        assert words[0] in command.commands or words[0].startswith("-"), f"there is no {text}"
        command = command.commands.get(words.pop(0), command)
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    for word in words:
        flag = word.partition("=")[0].rstrip(".,")
        assert not flag.startswith("-") or flag in known, f"{text}: there is no {flag}"


def _without_ray(arguments: list[str]) -> list[str]:
    """The same run as a dry run into another output, because the page's output is not a real run's here."""
    command, source, output, *options = arguments
    return [
        command,
        source,
        f"new-{output}",
        *options,
        *(["--dry-run"] if "--dry-run" not in options else []),
    ]


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    written = capsys.readouterr()
    return ended.value.code, written.out + written.err


def registered() -> set[str]:
    """The names of all commands."""
    return set(typer.main.get_command(app).commands)
