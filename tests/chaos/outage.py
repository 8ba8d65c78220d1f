"""The result of a run during an outage (outages.py)."""

from dataclasses import dataclass, field


@dataclass
class Outage:
    """The result of one outage; the promises held if `faults` is empty."""

    kept: int = 0  # images committed when it struck
    ended_s: float = 0.0  # from the strike to the end of the process
    last_line: str = ""
    faults: list[str] = field(default_factory=list)
