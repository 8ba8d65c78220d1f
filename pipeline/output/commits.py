"""What is in a dataset: one run record that is current, and the commits it stands for.

A shard counts once its commit `_commits/<run>-<task>.json` is there, and only if the current run record knows
it. The current record is the one of the highest run in `_runs/`; it names every commit that its run started
from, and vouches for the run's own. So a run takes over with one put-if-absent: what an overtaken run still
commits afterwards is in nobody's list (infra/adr/0006).
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DamagedFile
from pipeline.output.format.identity import Identity
from pipeline.output.format.schema import deep_and_narrow
from pipeline.store.storage import Store, side_by_side
from sam_core import __version__

T = TypeVar("T")
_RUN = re.compile(r"^r(\d{5,})(?=[-.]|$)")


def run_id(generation: int) -> str:
    """The run's name; generations are the numbers of the locks they took, so no two runs share one."""
    return f"r{generation:05d}"


def generation_of(name: str) -> int | None:
    """The generation of the run that a file is named for, None where the name is not one of ours."""
    found = _RUN.match(name)
    return int(found[1]) if found else None


def now() -> str:
    """The time as it stands in records: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Commit:
    """One shard that counts."""

    name: str  # <run>-<task>
    rows: int
    failed: dict[str, int]  # rows by Reason
    masks: int
    bytes: int
    written_at: str
    deep: int = 0  # images of more than 8 bits a sample
    narrow: int = 0  # of these, the ones that use a tenth of their scale or less

    @property
    def shard(self) -> str:
        return shard_name(self.name)

    @classmethod
    def of(cls, name: str, table: pa.Table, size: int) -> "Commit":
        """The commit of a shard's rows, under the time of now."""
        errors = pc.value_counts(table["error"].drop_null()).to_pylist()
        deep, narrow = deep_and_narrow(table)
        return cls(
            name,
            rows=table.num_rows,
            failed={entry["values"]: entry["counts"] for entry in errors},
            masks=pc.sum(table["num_masks"]).as_py() or 0,
            bytes=size,
            written_at=now(),
            deep=deep,
            narrow=narrow,
        )


@dataclass(frozen=True)
class RunRecord:
    """What a run started from, and how it ended."""

    run: str
    purpose: str  # label | refresh | overwrite | retry | gc
    identity: Identity
    input: str
    manifest: tuple[str, ...]  # parts, in order
    images: int  # rows of the manifest
    started_from: tuple[str, ...] = ()  # commits of earlier runs that still count
    started_at: str = field(default_factory=now)
    settings: dict[str, Any] = field(default_factory=dict)
    software_version: str = __version__
    grown_since: str = ""  # the last run that listed the input or took rows out: since it, rows only joined
    filtered_from: str | None = None  # of filtered rows: which dataset, and that one's grown_since
    ended: dict[str, Any] | None = None  # how, when, and counts; None while it runs or after it was killed

    def to_json(self) -> bytes:
        said = asdict(self) | {"identity": self.identity.described()}
        return json.dumps(said, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "RunRecord":
        said = json.loads(data)
        said["identity"] = Identity.from_described(said["identity"])
        said["manifest"], said["started_from"] = tuple(said["manifest"]), tuple(said["started_from"])
        return cls(**said)


def shard_name(commit: str) -> str:
    return f"data/{commit}.parquet"


def commit_name(commit: str) -> str:
    return f"_commits/{commit}.json"


def record_name(run: str) -> str:
    return f"_runs/{run}.json"


def current_record(store: Store) -> RunRecord | None:
    """The record of the highest run, None where there is no dataset yet. Raises: DamagedFile."""
    names = (entry.name.removeprefix("_runs/").removesuffix(".json") for entry in _listed(store, "_runs"))
    runs = [name for name in names if generation_of(name) is not None]
    newest = max(runs, key=lambda name: generation_of(name) or 0, default=None)
    return _parsed(store, record_name(newest), RunRecord.from_json) if newest else None


def live_commits(store: Store, record: RunRecord, known: Iterable[Commit] = ()) -> list[Commit]:
    """The commits that count under a record, by name; those that are `known` are not read again.

    Raises: DamagedFile, StoreError where one is gone.
    """
    own = (
        entry.name.removeprefix("_commits/").removesuffix(".json")
        for entry in _listed(store, "_commits")
        if entry.name.startswith(f"_commits/{record.run}-") and entry.name.endswith(".json")
    )
    names = sorted({*record.started_from, *own})
    found = {commit.name: commit for commit in known}
    missing = [name for name in names if name not in found]
    read = side_by_side(lambda name: _parsed(store, commit_name(name), _commit), missing)
    found |= zip(missing, read, strict=True)
    return [found[name] for name in names]


def write_commit(store: Store, commit: Commit) -> None:
    """Makes the commit's shard count; where an earlier attempt did already, its commit stays."""
    store.create(commit_name(commit.name), json.dumps(asdict(commit)).encode())


def failed_by_reason(commits: Iterable[Commit]) -> dict[str, int]:
    """Failed rows of all the commits by Reason, the most frequent first."""
    totals: dict[str, int] = {}
    for commit in commits:
        for reason, count in commit.failed.items():
            totals[reason] = totals.get(reason, 0) + count
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _commit(data: bytes) -> Commit:
    return Commit(**json.loads(data))


def _parsed(store: Store, name: str, parse: Callable[[bytes], T]) -> T:
    data = store.read(name)
    try:
        return parse(data)
    except (ValueError, KeyError, TypeError) as fault:
        why = f"it is not what this version of sam-label writes: {fault!r:.200}"
        raise DamagedFile(store.uri(name), why) from fault


def _listed(store: Store, folder: str) -> Iterable[Any]:
    return (entry for page in store.list(folder) for entry in page)
