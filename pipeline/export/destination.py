"""Where an export goes, and the state that is stored there so that the same command can go on.

    DEST/.sam-label-export/export.json   what is exported of which dataset: another export is refused
    DEST/.sam-label-export/00012.json    one part is done: its counts, and what the end needs of it
    DEST/.sam-label-export/done.json     all is done: the counts

Files appear only when they are complete. A part is done once its mark is there; an interrupted part is
written again, byte for byte the same. If DEST is one file, `.NAME.sam-label-export/` beside it has the state.
"""

import glob
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pipeline.errors import SamLabelError, UsageError
from pipeline.export.counts import Counts
from pipeline.export_config import FILE_FORMATS
from pipeline.store.disk import TEMPORARY
from pipeline.store.storage import Store, side_by_side
from pipeline.store.uri import Location, location

T = TypeVar("T")
_STATE = ".sam-label-export"


@dataclass(frozen=True)
class Mark:
    """A part that is done."""

    counts: Counts
    kept: Mapping[str, Any]  # JSON values for the form's end


@dataclass(frozen=True)
class Claim:
    """What an export writes to, below its destination's folder."""

    folders: tuple[str, ...] = ("",)  # "" is all of it
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Destination:
    """A folder for an export's files, or one file in it."""

    store: Store
    file: str = ""  # the one file's name

    @classmethod
    def at(cls, url: str) -> "Destination":
        """The place that a URL or a path names; one that ends in .json or .gpkg is a file.

        Raises: UsageError.
        """
        place = location(url)
        folder, _, name = place.root.rpartition("/")
        is_file = place.root.endswith(tuple(FILE_FORMATS)) and (folder or place.scheme == "file")
        destination = cls(
            Store(Location(place.scheme, folder) if is_file else place), name if is_file else ""
        )
        if not destination.store.is_writable:
            raise UsageError(f"{place} can only be read; name a folder or an s3:// prefix to export to")
        return destination

    def file_of(self, split: str) -> str:
        """The name of a split's file: `map-train.gpkg` of `map.gpkg`."""
        path = PurePosixPath(self.file)
        return f"{path.stem}-{split}{path.suffix}" if split else path.name

    @property
    def location(self) -> Location:
        whole = self.store.location
        return Location(whole.scheme, f"{whole.root}/{self.file}") if self.file else whole

    @property
    def url(self) -> str:
        return str(self.location)

    def state(self, name: str) -> str:
        """The path of a file in the export's state folder."""
        return f".{self.file}{_STATE}/{name}" if self.file else f"{_STATE}/{name}"

    def begin(self, asked: Mapping[str, Any], claim: Claim) -> None:
        """Claims the place for this export, if it is free or already belongs to this export.

        Raises: UsageError if something else is there.
        """
        record = self.state("export.json")
        is_new = self.store.info(record) is None
        if is_new:
            for stranger in self._strangers(claim):
                raise UsageError(
                    f"{self.store.uri(stranger)} exists but does not belong to this export; choose a new "
                    "destination, or remove it"
                )
        data = json.dumps(asked, indent=1, sort_keys=True).encode()
        if is_new and self.store.create(record, data):
            return
        theirs = self._json(record)
        other = [key for key in asked if theirs.get(key) != asked[key]]
        if other:
            differences = ", ".join(f"{key} {theirs.get(key)}, not {asked[key]}" for key in other)
            raise UsageError(
                f"{self.url} holds a different export ({differences}); choose another destination"
            )

    def marks(self) -> dict[int, Mark]:
        """The parts that are done, by number."""
        folder = self.state("").rstrip("/")
        names = [entry.name.rpartition("/")[2] for page in self.store.list(folder) for entry in page]
        parts = [name.removesuffix(".json") for name in names if name.removesuffix(".json").isdecimal()]
        marks = side_by_side(lambda part: self._mark(f"{part}.json"), parts)
        return {int(part): mark for part, mark in zip(parts, marks, strict=True)}

    def mark(self, part: int, mark: Mark) -> None:
        """Records that a part is done."""
        self._write_mark(f"{part:05d}.json", mark)

    def done(self) -> Counts | None:
        """The counts of an export that has ended; None before."""
        return self._mark("done.json").counts if self.store.info(self.state("done.json")) else None

    def end(self, counts: Counts) -> None:
        """Records that the export is done."""
        self._write_mark("done.json", Mark(counts, {}))

    def tidy(self, claim: Claim) -> None:
        """Removes what only an unfinished export needs, and what a killed one has left half written."""
        for path in self._half_written(claim) if self.store.is_local else ():
            path.unlink(missing_ok=True)
        kept = {self.state("export.json"), self.state("done.json")}
        listed = [entry.name for page in self.store.list(self.state("").rstrip("/")) for entry in page]
        side_by_side(self.store.delete, [name for name in listed if name not in kept])

    def forget(self, claim: Claim) -> None:
        """Removes the state of an export that has written nothing else."""
        self.tidy(claim)
        self.store.delete(self.state("done.json"))
        self.store.delete(self.state("export.json"))  # the last one: it marks the place as this export's
        if self.store.is_local:
            with suppress(OSError):  # it holds something else
                (Path(self.store.location.path) / self.state("").rstrip("/")).rmdir()

    def _half_written(self, claim: Claim) -> Iterator[Path]:
        root = Path(self.store.location.path)
        for file in claim.files:
            yield from root.glob(f"{TEMPORARY}{glob.escape(file)}-*")
        for folder in claim.folders:
            yield from (root / folder).rglob(f"{TEMPORARY}*")

    def _strangers(self, claim: Claim) -> Iterator[str]:
        for file in claim.files:
            if self.store.info(file) is not None:
                yield file
        for folder in claim.folders:
            names = (entry.name for page in self.store.list(folder) for entry in page)
            # An export that was killed in its first write leaves a temporary file in its state folder.
            yield from (name for name in names if not name.startswith(self.state("")))

    def _write_mark(self, name: str, mark: Mark) -> None:
        fields = {"counts": mark.counts.as_json(), "kept": mark.kept}
        self.store.publish(self.state(name), json.dumps(fields).encode())

    def _mark(self, name: str) -> Mark:
        fields = self._json(self.state(name))
        return self._parsed(name, lambda: Mark(Counts.from_json(fields["counts"]), fields["kept"]))

    def _json(self, name: str) -> dict[str, Any]:
        data = self.store.read(name)

        def parsed() -> dict[str, Any]:
            fields = json.loads(data)
            return dict(fields)

        return self._parsed(name, parsed)

    def _parsed(self, name: str, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except (ValueError, KeyError, TypeError) as fault:
            raise SamLabelError(
                f"{self.store.uri(name)} is damaged ({fault!r:.200}); export to a new destination"
            ) from fault
