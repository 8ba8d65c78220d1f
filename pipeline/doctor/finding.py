"""The result of one check: whether a run will work, and what to do if not."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import SamLabelError, last_line


class State(StrEnum):
    """What a finding means for a run."""

    OK = "ok"
    WARNING = "warning"  # a run works, but slower or with less than it could; or this was not checked
    FAULT = "fault"  # a run fails


@dataclass(frozen=True)
class Finding:
    """The state of what was checked; `fix` says what to do, and is empty if there is nothing to do."""

    what: str
    state: State
    says: str
    fix: str = ""


def ok(what: str, says: str) -> Finding:
    return Finding(what, State.OK, says)


def warning(what: str, says: str, fix: str) -> Finding:
    return Finding(what, State.WARNING, says, fix)


def fault(what: str, says: str, fix: str) -> Finding:
    return Finding(what, State.FAULT, says, fix)


def not_checked(what: str, missing: ImportError) -> Finding:
    """What a check finds that needs a package which cannot be imported."""
    return warning(what, f"not checked: {last_line(str(missing))}", "install the packages first")


def looked_at(what: str, look: Callable[[], Finding]) -> Finding:
    """What `look` finds; an error that it raises is a fault whose sentence says what to do."""
    try:
        return look()
    except SamLabelError as error:
        return fault(what, str(error), "")
    except ImportError as missing:
        return not_checked(what, missing)
    except OSError as error:
        return fault(what, f"{error.filename or what}: {error.strerror or error}", "check its permissions")
