"""The checks of tests/integration/test_docs_run.py find mistakes in a page of the docs."""

import subprocess
from pathlib import Path

import pytest
import typer
from doc_blocks import Block, blocks, commands, inline_commands
from doc_commands import check_command, check_mention, parse
from doc_snippets import run_snippet

from pipeline.errors import UsageError

PAGE = """# Page
`sam-label run` and `sam-label status OUTPUT` are commands, `sam-labels` is not.

```console
$ make demo
6 images labelled
$ sam-label status out \\
    --json
```
```
what is this
```
```sh
# a comment
sam-label gc out   # and what it does
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_blocks_and_commands_are_found_with_their_lines(page: Path) -> None:
    console, unnamed, shell = blocks(page)
    assert (str(console), console.language, unnamed.language) == ("page.md:5", "console", "")
    assert [(command.line, command.shown) for command in commands(console)] == [
        ("make demo", "6 images labelled"),
        ("sam-label status out      --json", ""),
    ]
    assert [command.line for command in commands(shell)] == ["sam-label gc out   # and what it does"]
    assert inline_commands(page) == ["sam-label run", "sam-label status OUTPUT"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "s3://photos", "s3://labels", "--config", "quick", "-v"],
        ["models", "pull", "vit_h", "--from", "https://mirror/"],
        ["export", "masks", "coco.json", "--split", "0.9,0.1"],
    ],
)
def test_a_command_that_is_not_run_is_held_against_the_options(arguments: list[str]) -> None:
    parse(arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["run", "photos", "masks", "--point-per-side", "8"], typer.TyperException),
        (["status"], typer.TyperException),
        (["status", "one", "two"], typer.TyperException),
        (["models", "push", "vit_h"], typer.TyperException),
        (["rum"], typer.TyperException),
        (["run", "photos", "masks", "--config", "nope.toml"], UsageError),
    ],
)
def test_a_command_that_cannot_be_is_found(arguments: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(arguments)


def test_commands_of_others_are_listed_and_mistakes_that_a_page_shows_are_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_command("make demo test", "", capsys)
    with pytest.raises(AssertionError):
        check_command("make coffee", "", capsys)
    with pytest.raises(AssertionError, match="no command that is known here"):
        check_command("curl http://example.org | sh", "", capsys)
    with pytest.raises(AssertionError):
        check_command("sam-label status no-such-folder", "", capsys)
    with pytest.raises(AssertionError):
        check_command("sam-label status no-such-folder", "sam-label: another sentence", capsys)


def test_a_sentence_may_leave_out_arguments_but_not_invent_options() -> None:
    for fine in (
        "sam-label run",
        "sam-label export OUTPUT DEST --format coco",
        "sam-label run ... --refresh",
    ):
        check_mention(fine)
    for wrong in ("sam-label runs", "sam-label export --formats coco", "sam-label models push"):
        with pytest.raises(AssertionError):
            check_mention(wrong)


def test_a_snippet_may_start_processes_that_are_not_forked(tmp_path: Path) -> None:
    """As those of a loader are from Python 3.14 on."""
    text = (
        "from multiprocessing import get_context\n"
        "def twice(number):\n    return 2 * number\n"
        'if __name__ == "__main__":\n'
        '    with get_context("forkserver").Pool(1) as pool:\n'
        "        assert pool.map(twice, [3]) == [6]\n"
    )
    run_snippet(Block(tmp_path / "page.md", 1, "python", text))
    with pytest.raises(subprocess.CalledProcessError):
        run_snippet(Block(tmp_path / "page.md", 1, "python", text.replace("[6]", "[7]")))


def test_a_snippet_that_fails_names_its_page_and_line(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as fault:
        run_snippet(Block(tmp_path / "page.md", 7, "python", "a = 1\na / 0\n"))
    assert fault.traceback[-1].lineno + 1 == 8
    with pytest.raises(ImportError):
        run_snippet(
            Block(tmp_path / "page.md", 1, "python", "from sam_core import nothing\nsam_model_registry[0]\n")
        )
