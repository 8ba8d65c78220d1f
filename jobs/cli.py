"""The `sam-label` command: which commands there are, and how every error ends.

stdout gets data; stderr gets progress, logs and errors. A person's mistake ends in one sentence and an exit
code, never in a traceback. So does an unexpected exception, whose traceback --debug shows. Each command
imports ray and torch only when it has work for them, so that --help answers at once.
"""

import errno
import io
import logging
import sys
import traceback
import warnings
from typing import Annotated

import typer

from jobs import MISSING, OWN_PACKAGES
from jobs.bench_command import bench
from jobs.config_command import config
from jobs.dataset_commands import gc, retry, status, validate
from jobs.doctor_command import doctor
from jobs.draw_command import draw
from jobs.export_command import export
from jobs.filter_command import filter_masks
from jobs.models_command import models
from jobs.options.short_help import ShortHelp, ShortHelpGroup
from jobs.plan_command import plan
from jobs.preview_command import preview
from jobs.printed import printable_streams
from jobs.rewrite_commands import compact, merge
from jobs.run_command import run
from jobs.schedule_command import schedule
from jobs.similar_command import similar
from jobs.stats_command import stats
from jobs.submit_command import submit, submitted
from jobs.verbosity import logged_to_stderr, verbosity_of
from pipeline.errors import SamLabelError, UsageError, last_line
from pipeline.program_log import for_stderr, is_stderr_json
from pipeline.shutdown import exit_process
from pipeline.signals import sigterm_interrupts
from pipeline.store.uri import redacted
from sam_core import __version__

INTERRUPTED = 130  # what shells give a process that SIGINT ended

app = typer.Typer(
    name="sam-label",
    cls=ShortHelpGroup,
    help="Point it at images, get a dataset of masks.",
    epilog="Exit codes: 0 done, 1 fatal, 2 usage, 3 too many failed images, 4 validation failed, "
    "5 output locked by another run, 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order of --help.
COMMANDS = {
    "Label": (run, plan, bench, doctor),
    "Look": (status, stats, preview, draw, similar),
    "Use": (export, filter_masks),
    "Maintain": (validate, retry, gc, compact, merge),
    "Clusters and schedules": (submit, schedule),
}
NAMES = {filter_masks: "filter"}  # where a command cannot be called as its function is
# an interrupted one begins anew
READ_ONLY = {"status", "stats", "preview", "draw", "similar", "validate", "plan", "doctor", "bench"}
FULL = (errno.ENOSPC, errno.EDQUOT)
TAKE_PATTERNS = {"run", "plan", "bench", "doctor"}
for topic, commands in COMMANDS.items():
    for command in commands:
        app.command(NAMES.get(command), cls=ShortHelp, rich_help_panel=topic)(command)
app.add_typer(submitted, name="jobs", rich_help_panel="Clusters and schedules")
app.add_typer(models, name="models", rich_help_panel="Set-up")
app.add_typer(config, name="config", rich_help_panel="Set-up")


def main(arguments: list[str] | None = None) -> None:
    """Exits the process with the command's exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold what the terminal cannot show
    warnings.filterwarnings("ignore", module="PIL")  # what matters in an image is an ImageError
    with printable_streams(), sigterm_interrupts():
        try:
            verbosity, others = verbosity_of(arguments)
        except UsageError as mistake:
            code = _fail(str(mistake), mistake.exit_code, "--debug" in arguments)
        else:
            with logged_to_stderr(verbosity.level, verbosity.json):
                code = _exit_code(others, verbosity.debug)
    exit_process(code)


def _exit_code(arguments: list[str], debug: bool) -> int:
    try:
        code = int(app(arguments or ["--help"], prog_name="sam-label", standalone_mode=False) or 0)
        if code == INTERRUPTED:  # Typer's answer to a KeyboardInterrupt, which it does not report
            raise KeyboardInterrupt
        sys.stdout.flush()  # here a full disk gets its sentence
        return code
    except KeyboardInterrupt:
        goes_on = not READ_ONLY.intersection(arguments[:1])
        sentence = "interrupted; run the same command again to continue" if goes_on else "interrupted"
        return _fail(sentence, INTERRUPTED, debug)
    except SamLabelError as error:
        return _fail(str(error), error.exit_code, debug)
    except typer.TyperException as mistake:
        return _fail(_sentence(mistake), mistake.exit_code, debug)
    except BrokenPipeError:  # the reader of stdout has ended, as `| head` does
        return 1
    except OSError as fault:
        if fault.errno == errno.ENOENT and fault.filename is None and "temporary directory" in str(fault):
            return _fail("there is no folder for temporary files; set TMPDIR to one that exists", 1, debug)
        if fault.filename is None and fault.errno in FULL:  # a write does not say to which file
            where = "where standard output goes, or in the folder for temporary files"
            return _fail(f"{fault.strerror}: make room {where}", 1, debug)
        if fault.filename is None:
            return _fail_unexpectedly(fault, debug)
        # A file of this machine: a job file, the cache of weights, temporary files.
        why = fault.strerror or type(fault).__name__
        is_missing = isinstance(fault, FileNotFoundError)
        advice = "check the path" if is_missing else "check its permissions and the room on its disk"
        return _fail(f"{fault.filename}: {why}; {advice}", 1, debug)
    except ImportError as missing:
        if (missing.name or "").partition(".")[0] in OWN_PACKAGES:
            return _fail_unexpectedly(missing, debug)
        return _fail(MISSING.format(why=last_line(str(missing))), 1, debug)
    except Exception as unexpected:  # noqa: BLE001  # no caller is left that could make it a sentence
        return _fail_unexpectedly(unexpected, debug)


def _sentence(mistake: typer.TyperException) -> str:
    """What Typer says; if the shell has replaced a pattern by names, says so, without the names."""
    command = getattr(mistake, "ctx", None)
    parameter = getattr(mistake, "param", None)
    if command and parameter and _is_of_environment(command, parameter.name):
        mistake.param_hint = parameter.envvar  # type: ignore[attr-defined]
    sentence = mistake.format_message().replace(" Value error, ", " ")
    if not sentence and command:
        return f"{command.info_name} needs one of its commands: {', '.join(command.command.commands)}"
    if "unexpected extra argument" in sentence and command and command.info_name in TAKE_PATTERNS:
        return (
            f"{command.info_name} accepts one INPUT and one OUTPUT, but got more; quote a pattern, as in "
            f"sam-label {command.info_name} 'photos/*.jpg' masks, or the shell replaces it by file names"
        )
    return sentence


def _is_of_environment(command: typer.Context, option: str) -> bool:
    source = command.get_parameter_source(option)
    return source is not None and source.name == "ENVIRONMENT"


def _fail_unexpectedly(unexpected: Exception, debug: bool) -> int:
    return _fail(
        f"{type(unexpected).__name__}: {last_line(str(unexpected))} (this is a fault of sam-label: please "
        "report it with what the same command prints under --debug)",
        1,
        debug,
    )


def _fail(sentence: str, exit_code: int, debug: bool) -> int:
    if debug and not is_stderr_json():
        traceback.print_exc()
    others = {"exit_code": exit_code, **({"traceback": traceback.format_exc()} if debug else {})}
    line = for_stderr(f"sam-label: {redacted(sentence)}", "sam_label", logging.ERROR, **others)
    print(line, file=sys.stderr)
    return exit_code


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"sam-label {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Log everything, also Ray's notices, and print the traceback of an error."
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log retries and other details.")] = False,
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            help="Lowest level to log: debug, info, warning or error. Logging options may stand anywhere.",
        ),
    ] = "warning",
    log_json: Annotated[
        bool,
        typer.Option(
            "--log-json", help="Write log, progress and errors to stderr as JSON, one object per line."
        ),
    ] = False,
) -> None:
    """Point it at images, get a dataset of masks."""
