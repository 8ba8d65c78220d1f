"""What is in a dataset: the current run record, and the commits that count under it.

A shard counts once its commit `_commits/<run>-<task>.json` exists, and only if the commit counts under the
current run record, which is that of the highest run in `_runs/`. Two kinds of commits count under it: those
of earlier runs that it names, and all commits of its own run. So a run takes over by creating one object,
only if it is absent. What an overtaken run commits later counts nowhere (infra/adr/0006).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DamagedFile
from pipeline.output.format.identity import Identity
from pipeline.output.format.names import Kind, OwnFile, commit_name, record_name, shard_name, whole_file
from pipeline.output.format.schema import deep_and_narrow
from pipeline.output.made_with import made_with
from pipeline.output.row_guard import REASON
from pipeline.store.settings import access_options
from pipeline.store.storage import Store, side_by_side
from sam_core import __version__

T = TypeVar("T")


def now() -> str:
    """The current time as records have it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def moment_of(run: str) -> str:
    """What `RunRecord.grown_since` says of a run that begins now."""
    return f"{run} at {now()}"


@dataclass(frozen=True, slots=True)
class Commit:
    """One shard that counts."""

    name: str  # <run>-<task>
    rows: int
    failed: dict[str, int]  # failed rows by Reason
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
        """The commit of a shard with these rows, with the current time."""
        deep, narrow = deep_and_narrow(table)
        return cls(name, **counts_of(table), bytes=size, written_at=now(), deep=deep, narrow=narrow)


def counts_of(table: pa.Table) -> dict[str, Any]:
    """The fields `rows`, `failed` and `masks` of the commit of a shard with these rows."""
    errors = pc.value_counts(table["error"].drop_null()).to_pylist()
    return {
        "rows": table.num_rows,
        "failed": {entry["values"]: entry["counts"] for entry in errors},
        "masks": pc.sum(table["num_masks"]).as_py() or 0,
    }


@dataclass(frozen=True)
class RunRecord:
    """What a run started from, and how it ended."""

    run: str
    purpose: str  # label | refresh | overwrite | retry | gc | compact
    identity: Identity
    input: str
    manifest: tuple[str, ...]  # parts, in order
    images: int  # rows of the manifest
    started_from: tuple[str, ...] = ()  # commits of earlier runs that still count
    listed_with: dict[str, Any] = field(default_factory=dict)  # options of the input that are not at default
    started_at: str = field(default_factory=now)
    settings: dict[str, Any] = field(default_factory=dict)
    software_version: str = __version__
    made_with: dict[str, str] = field(default_factory=dict)  # versions, git revision; {} in older records
    # The last run that began the dataset, listed its input or took rows out, and when: later rows were only
    # added. Earlier releases wrote no time, and a dataset that was deleted and made again had the same value.
    grown_since: str = ""
    duplicates: tuple[str, ...] = ()  # parts that list images whose bytes another image has
    duplicate_images: int = 0  # how many images they name
    filtered_from: str | None = None  # for filtered rows: their dataset, and its grown_since
    ended: dict[str, Any] | None = None  # how, when, and counts; None while it runs or after it was killed

    @property
    def inputs(self) -> list[str]:
        """The URLs in `input`: one, or several if datasets were merged."""
        return re.split(r" and (?=\w+://)", self.input)

    @property
    def is_merged(self) -> bool:
        """Whether the images come from several inputs. A run has one input, so none can go on with this."""
        return len(self.inputs) > 1

    def next(
        self,
        run: str,
        purpose: str,
        started_from: Sequence[str],
        settings: Mapping[str, Any] | None = None,
        only_grows: bool = True,
    ) -> "RunRecord":
        """The record of a run that goes on with the same manifest and these commits.

        How the images are reached stays the same, unless `settings` change it.
        `only_grows` is False if the run takes rows out.
        """
        return replace(
            self,
            run=run,
            purpose=purpose,
            started_from=tuple(started_from),
            started_at=now(),
            settings={**access_options(self.settings), **(settings or {})},
            software_version=__version__,
            made_with=made_with(),
            grown_since=self.grown_since if only_grows else moment_of(run),
            ended=None,
        )

    def to_json(self) -> bytes:
        stated = asdict(self) | {"identity": self.identity.described()}
        return json.dumps(stated, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "RunRecord":
        stated = json.loads(data)
        stated["identity"] = Identity.from_described(stated["identity"])
        stated["manifest"], stated["started_from"] = tuple(stated["manifest"]), tuple(stated["started_from"])
        stated["duplicates"] = tuple(stated.get("duplicates", ()))
        return cls(**_known(cls, stated))


def current_record(store: Store) -> RunRecord | None:
    """The record of the highest run, None if there is no dataset yet. Raises: DamagedFile."""
    records = _whole_files(store, "_runs", Kind.RECORD)
    newest = max(records, key=lambda record: record.generation, default=None)
    return _record(store, newest.stem) if newest else None


def run_records(store: Store) -> list[RunRecord]:
    """The records of all runs that the output has seen, in no order. Raises: DamagedFile."""
    runs = [file.stem for file in _whole_files(store, "_runs", Kind.RECORD)]
    return side_by_side(lambda run: _record(store, run), runs)


def live_commits(store: Store, record: RunRecord, known: Iterable[Commit] = ()) -> list[Commit]:
    """The commits that count under a record, sorted by name; `known` ones are not read again.

    Raises: DamagedFile. StoreError if a commit is gone.
    """
    stems = (file.stem for file in _whole_files(store, "_commits", Kind.COMMIT))
    own = (stem for stem in stems if stem.startswith(f"{record.run}-"))
    names = sorted({*record.started_from, *own})
    commits = {commit.name: commit for commit in known}
    unread = [name for name in names if name not in commits]
    read = side_by_side(lambda name: _commit(store, name), unread)
    commits |= zip(unread, read, strict=True)
    return [commits[name] for name in names]


def write_commit(store: Store, commit: Commit) -> None:
    """Creates the commit, which makes its shard count; a commit of an earlier attempt stays."""
    store.create(commit_name(commit.name), json.dumps(asdict(commit)).encode())


def failed_by_reason(commits: Iterable[Commit]) -> dict[str, int]:
    """Failed rows of all the commits by Reason, the most frequent first."""
    totals: dict[str, int] = {}
    for commit in commits:
        for reason, count in commit.failed.items():
            totals[reason] = totals.get(reason, 0) + count
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _record(store: Store, run: str) -> RunRecord:
    record = _parsed(store, record_name(run), RunRecord.from_json)
    if record.run != run:
        raise DamagedFile(store.uri(record_name(run)), f"it is of another run, {record.run!r:.40}")
    return record


def _commit(store: Store, name: str) -> Commit:
    return _parsed(store, commit_name(name), lambda data: _commit_named(name, data))


def _known(made: type, stated: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version knows; one that another version adds does not change what these mean."""
    return {each.name: stated[each.name] for each in fields(made) if each.name in stated}


def _commit_named(name: str, data: bytes) -> Commit:
    """Raises: ValueError, TypeError. A stranger's text would stand in the README and on the terminal."""
    commit = Commit(**_known(Commit, json.loads(data)))
    numbers = (commit.rows, commit.masks, commit.bytes, commit.deep, commit.narrow, *commit.failed.values())
    if commit.name != name or not all(map(REASON.fullmatch, commit.failed)):
        raise ValueError("it is of another shard, or names a reason of another form")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("one of its numbers is not a count")
    datetime.fromisoformat(commit.written_at)
    return commit


def _parsed(store: Store, name: str, parse: Callable[[bytes], T]) -> T:
    data = store.read(name)
    try:
        return parse(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        why = f"it is not what this version of sam-label writes: {fault!r:.200}"
        raise DamagedFile(store.uri(name), why) from fault


def _whole_files(store: Store, folder: str, kind: Kind) -> Iterator[OwnFile]:
    for page in store.list(folder):
        for entry in page:
            if file := whole_file(entry.name, kind):
                yield file
