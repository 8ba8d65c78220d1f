"""Where the installed `sam-label` begins: it makes the process safe before it imports anything else.

An empty or relative entry of PYTHONPATH makes Python look for modules in the folder where the command is
started. A data set that somebody has downloaded may hold a `numpy.py`, which would run with the user's
credentials. So this module imports only what every Python has imported already.
"""

import os
import sys

from jobs import MISSING, OWN_PACKAGES

WARNING = (
    "sam-label: warning: PYTHONPATH has an empty or relative entry, which makes Python import files from "
    "the current folder; sam-label ignores the entry: give absolute paths"
)
HIDDEN = (
    "sam-label: PYTHONPATH has {entry}, whose {name} hides sam-label's own package of that name; remove it "
    "from PYTHONPATH for this command"
)


def main() -> None:
    """Runs the command; neither it nor a Python below it imports from the folder where it is started."""
    _open_closed_streams()
    _name_files_in_utf_8()
    _ignore_relative_entries()
    _refuse_other_packages()
    _run_command()


def _run_command() -> None:
    """Ctrl-C during the imports ends the process without a word, since nothing has begun."""
    import signal  # not before the import path is safe

    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # a shell may have had it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from jobs.cli import main as command
    except ImportError as missing:
        if (missing.name or "").partition(".")[0] in OWN_PACKAGES:
            raise
        from pipeline.errors import last_line  # it needs no other package

        print(f"sam-label: {MISSING.format(why=last_line(str(missing)))}", file=sys.stderr)
        sys.exit(1)
    signal.signal(signal.SIGINT, handler)
    command()


def _open_closed_streams() -> None:
    """Gives closed standard streams /dev/null, as daemons have it; else the next file would become one."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _name_files_in_utf_8() -> None:
    """Starts the command once more in Python's UTF-8 mode if the locale has another encoding.

    An image's uri and id are made from its name, so that they must not depend on the locale.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _ignore_relative_entries() -> None:
    os.environ["PYTHONSAFEPATH"] = "1"
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [entry for entry in entries if entry.startswith(os.sep)]
    if len(absolute) == len(entries) or entries == [""]:
        return
    try:
        relative = {os.path.realpath(entry) for entry in entries if not entry.startswith(os.sep)}
    except FileNotFoundError:  # the folder where it is started was deleted
        relative = set()
    sys.path[:] = [
        entry for entry in sys.path if entry in absolute or os.path.realpath(entry) not in relative
    ]
    os.environ["PYTHONPATH"] = os.pathsep.join(absolute)
    print(WARNING, file=sys.stderr)


def _refuse_other_packages() -> None:
    """Ends the command if PYTHONPATH has other packages of our names, which workers would import too."""
    ours = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    for entry in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if os.path.realpath(entry) == ours:
            return
        for name in OWN_PACKAGES:
            files = (os.path.join(entry, f"{name}.py"), os.path.join(entry, name, "__init__.py"))
            if any(map(os.path.isfile, files)):
                print(HIDDEN.format(entry=entry, name=name), file=sys.stderr)
                sys.exit(2)
