"""The names of a dataset's files: how they are written, and what a name means.

No command deletes or counts a file whose name matches no pattern here: an output may hold other files too.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from pipeline.store.disk import whole_name

DATASET = "dataset.json"
README, CROISSANT = "README.md", "croissant.json"
REPORT = "report.html"

# 00007 and 123456, but neither 7 nor 000007
_NUMBER = r"(?:[0-9]{5}|[1-9][0-9]{5,})"
_RUN = rf"r(?P<generation>{_NUMBER})"
# A shard's rows were labelled, or kept from an older shard. Rows that do not fit into one go into .1, .2, ...
_SHARD = rf"{_RUN}-(?:kept)?(?:[0-9]{{6}}|[1-9][0-9]{{6,}})(?:\.[1-9][0-9]*)?"


class Kind(StrEnum):
    """What a file is for."""

    DATASET = "dataset"
    CARD = "card"  # ours only if it says so (pipeline/output/card.py)
    REPORT = "report"  # of sam-label preview
    LOCK = "lock"
    PROBE = "probe"  # to test whether the store can put if absent
    RECORD = "record"
    LOG = "log"  # what a run has logged
    PART = "part"  # of the manifest
    DUPLICATES = "duplicates"  # a part of the list of duplicate images
    SHARD = "shard"
    COMMIT = "commit"


_PATTERNS = {
    Kind.DATASET: re.compile(r"(?P<stem>dataset)\.json"),
    Kind.CARD: re.compile(r"(?P<stem>README\.md|croissant\.json)"),
    Kind.REPORT: re.compile(r"(?P<stem>report)\.html"),
    Kind.LOCK: re.compile(rf"_lock/(?P<stem>(?P<generation>{_NUMBER}))\.json"),
    Kind.PROBE: re.compile(r"_lock/(?P<stem>probe-[0-9a-f]{32})"),
    Kind.RECORD: re.compile(rf"_runs/(?P<stem>{_RUN})\.json"),
    Kind.LOG: re.compile(rf"_runs/(?P<stem>{_RUN})\.log\.jsonl"),
    Kind.PART: re.compile(rf"manifest/(?P<stem>{_RUN}-{_NUMBER})\.parquet"),
    Kind.DUPLICATES: re.compile(rf"duplicates/(?P<stem>{_RUN}-{_NUMBER})\.parquet"),
    Kind.SHARD: re.compile(rf"data/(?P<stem>{_SHARD})\.parquet"),
    Kind.COMMIT: re.compile(rf"_commits/(?P<stem>{_SHARD})\.json"),
}


@dataclass(frozen=True)
class OwnFile:
    """What the name of a dataset's file says."""

    kind: Kind
    stem: str  # its name without folder and suffix
    generation: int  # of the run that it is named for; 0 if it is named for none
    is_whole: bool  # False for the temporary file of a write that was cut off


def own_file(name: str) -> OwnFile | None:
    """The file that a name means, or None if no file of a dataset has such a name."""
    intended = whole_name(name)
    for kind, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(intended):
            generation = int(match.groupdict().get("generation") or 0)
            return OwnFile(kind, match["stem"], generation, is_whole=intended == name)
    return None


def whole_file(name: str, kind: Kind) -> OwnFile | None:
    """As `own_file`, or None if the file is of another kind or half written."""
    file = own_file(name)
    return file if file and file.kind is kind and file.is_whole else None


def run_id(generation: int) -> str:
    """The run's name. The generation is the number of the lock that the run took, so no two runs share it."""
    return f"r{generation:05d}"


def generation_of(run: str) -> int:
    """The number in a run's name."""
    return int(run.removeprefix("r"))


def lock_name(generation: int) -> str:
    return f"_lock/{generation:05d}.json"


def probe_name(word: str) -> str:
    return f"_lock/probe-{word}"


def record_name(run: str) -> str:
    return f"_runs/{run}.json"


def log_name(run: str) -> str:
    return f"_runs/{run}.log.jsonl"


def part_name(run: str, number: int) -> str:
    return f"manifest/{run}-{number:05d}.parquet"


def duplicates_name(run: str, number: int) -> str:
    return f"duplicates/{run}-{number:05d}.parquet"


def labelled(run: str, task: int) -> str:
    """The name of the commit of rows that a task of the run has labelled, without folder and suffix."""
    return f"{run}-{task:06d}"


def kept(run: str, number: int) -> str:
    """The name of the commit of rows that the run has kept from an older shard."""
    return f"{run}-kept{number:06d}"


def shard_name(commit: str) -> str:
    return f"data/{commit}.parquet"


def commit_name(commit: str) -> str:
    return f"_commits/{commit}.json"
