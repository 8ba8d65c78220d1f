"""The images that a list names, checked line by line before anything is started.

If anything is wrong with a list, the listing fails after the whole list was read: no line is ever dropped
silently. An image that is named twice is taken once, with the values of its first line.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from pipeline.config import InputFormat
from pipeline.errors import UsageError
from pipeline.inputs.files import NoImages
from pipeline.inputs.lists.columns import Columns, id_text
from pipeline.inputs.lists.formats import HEAD_BYTES, refuse_other_content
from pipeline.inputs.lists.lines import head_of
from pipeline.inputs.lists.places import ListPlace
from pipeline.inputs.lists.repeats import Repeats
from pipeline.inputs.lists.tables import BadRow, ListRow, Rows, opened
from pipeline.inputs.options import SourceOptions
from pipeline.output.format.manifest import ManifestRow, image_id
from pipeline.store.objects import UNKNOWN_SIZE, Entry
from pipeline.store.storage import Store
from pipeline.store.uri import redacted

SHOWN = 3  # of the lines that are wrong


@dataclass
class ImageList:
    """A list that exists. `repeated` counts the lines that name an image again, once `rows` has ended."""

    name: str  # for messages
    store: Store
    file: Entry
    format: InputFormat
    options: SourceOptions
    place: ListPlace
    copy: IO[bytes] | None = None  # of standard input: it is removed with the list
    repeated: int = field(default=0, init=False)

    def rows(self) -> Iterator[ManifestRow]:
        """The images in the order of lines; an image that is named twice comes twice, with one id.

        Raises: UsageError for a list that is not of its format, lacks a column, names an id twice or has a
            line that names no image; StoreError.
        """
        head = head_of(self.store, self.file, HEAD_BYTES)
        refuse_other_content(self.name, self.format, head)
        columns, rows = self._opened()
        bad = _BadRows(self.name, self._unit)
        with TemporaryDirectory(prefix="sam-label-") as folder:
            uris, ids = (Repeats(_made(Path(folder, kind))) for kind in ("uris", "ids"))
            for row in rows:
                image = self._image(row, columns)
                if isinstance(image, BadRow):
                    bad.add(image)
                    continue
                if image.source_id is not None:
                    ids.add(bytes.fromhex(image.image_id), row.number)
                uris.add(bytes.fromhex(image_id(image.uri)), row.number)
                bad.images += 1
                yield image
            bad.refuse()
            if columns.id is not None:
                self._refuse_repeats(ids, columns.id, columns)
                self._refuse_repeats(uris, columns.uri, columns)
            self.repeated = sum(1 for _ in uris.found())

    def _opened(self) -> tuple[Columns, Rows]:
        table = opened(self.store, self.file, self.format)
        if self.format == "txt" and (self.options.uri_column or self.options.id_column or self.options.kept):
            raise UsageError(
                f"{self.name} is read as text with one URI or path per line, which has no columns; if it is "
                "a table, pass its format, such as --input-format csv, otherwise leave the column options out"
            )
        columns = Columns.of(self.options, table, self.name)
        return columns, table.rows(columns.all)

    def _image(self, row: ListRow | BadRow, columns: Columns) -> ManifestRow | BadRow:
        if isinstance(row, BadRow):
            return row
        text = row.values.get(columns.uri)
        try:
            if not isinstance(text, str):
                raise ValueError(f"its {columns.uri!r} is {text!r:.100}, which is not text")
            uri = self.place.uri(text)
            source_id = id_text(row.values.get(columns.id)) if columns.id is not None else None
            kept = columns.kept_json(row.values)
            return ManifestRow(image_id(source_id or uri), uri, UNKNOWN_SIZE, "", None, kept, source_id)
        except (ValueError, TypeError) as fault:
            return BadRow(
                row.number, f"{redacted(text)!r:.200}: {fault}" if isinstance(text, str) else str(fault)
            )

    def _refuse_repeats(self, repeats: Repeats, column: str, columns: Columns) -> None:
        """Raises UsageError if two lines share a name: with ids, an image has one id and an id one image."""
        count, first = 0, None
        for pair in repeats.found():
            count += 1
            first = min(first or pair, pair, key=lambda lines: lines[1])
        if first is None:
            return
        one, other = first
        what = "id" if column == columns.id else "image"
        more = f" (and {count - 1:,} more are repeated)" if count > 1 else ""
        raise UsageError(
            f"{self.name} has the {what} {redacted(str(self._value(one, column)))!r:.200} in {self._unit} "
            f"{one:,} and again in {self._unit} {other:,}{more}; with --id-column each image needs one id, "
            "and each id one image"
        )

    def _value(self, number: int, column: str) -> object:
        """What a line has in a column; the list is read again as far as that."""
        with suppress(StopIteration):
            _, rows = self._opened()
            return next(
                row.values[column] for row in rows if isinstance(row, ListRow) and row.number == number
            )
        return "?"

    @property
    def _unit(self) -> str:
        return "row" if self.format == "parquet" else "line"


@dataclass
class _BadRows:
    """The rows of a list that name no image: how many there are, and the first of them."""

    name: str
    unit: str
    images: int = 0  # that other rows name
    count: int = 0
    first: list[BadRow] = field(default_factory=list)

    def add(self, row: BadRow) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(row)

    def refuse(self) -> None:
        """Raises UsageError if there is one, NoImages if there is no row at all."""
        if self.count:
            shown = "; ".join(f"{self.unit} {row.number:,} names no image ({row.why})" for row in self.first)
            more = f" and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
            raise UsageError(f"{self.name}: {shown}{more}; correct the list; nothing was started")
        if not self.images:
            raise NoImages(
                f"{self.name} names no image; a list needs at least one line, and names one image per line"
            )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
