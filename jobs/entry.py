"""Where the installed `sam-label` begins: it makes the import path safe before it imports anything else.

An empty or relative entry of PYTHONPATH makes Python look for modules in the folder where the command is
started. A data set that somebody has downloaded may hold a `numpy.py`, which would run with the user's
credentials. So this module imports only what every Python has imported already.
"""

import os
import sys

WARNING = (
    "sam-label: warning: PYTHONPATH has an empty or relative entry, by which Python imports whatever lies in "
    "the folder where it is started; it is ignored: give absolute paths"
)


def main() -> None:
    """Runs the command; neither it nor a Python below it imports from the folder where it is started."""
    os.environ["PYTHONSAFEPATH"] = "1"
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [entry for entry in entries if entry.startswith(os.sep)]
    relative = {os.path.realpath(entry) for entry in entries if not entry.startswith(os.sep)}
    if len(absolute) < len(entries) and entries != [""]:
        sys.path[:] = [
            entry for entry in sys.path if entry in absolute or os.path.realpath(entry) not in relative
        ]
        os.environ["PYTHONPATH"] = os.pathsep.join(absolute)
        print(WARNING, file=sys.stderr)
    from jobs.cli import main as command

    command()
