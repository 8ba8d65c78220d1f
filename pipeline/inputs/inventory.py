"""What an input holds: the images that a run would take, and what it leaves out. Nothing is written.

It lists the input once, in constant memory: sizes are counted by magnitude, so that the median is right to
one percent. Contents are read only on request.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from pipeline.errors import ImageError
from pipeline.images.fetch import ANY_PIXELS, FetchSettings, fetched
from pipeline.images.frame import without_frame
from pipeline.images.header import stored_size
from pipeline.images.image_format import image_format
from pipeline.inputs.files import NoImages
from pipeline.inputs.same_bytes import Repeats, SameBytes
from pipeline.inputs.sampled import sampled
from pipeline.inputs.skipped import UNNAMED, Skipped, Why
from pipeline.inputs.source import Source
from pipeline.output.format.manifest import ManifestRow

INSPECTED = 200  # images whose headers are looked at
READERS = 16  # images in memory at once
MOST_TYPES = 100  # names may end in anything
_EXTENSION = re.compile(r"\.[a-z0-9]{1,8}$")
_STEP = math.log(1.01)  # of sizes that count as one


@dataclass
class Sizes:
    """Smallest, median and largest of many numbers; each is None without numbers."""

    smallest: int | None = None
    largest: int | None = None
    magnitudes: Counter[int] = field(default_factory=Counter)

    def add(self, size: int) -> None:
        self.smallest = size if self.smallest is None else min(self.smallest, size)
        self.largest = size if self.largest is None else max(self.largest, size)
        self.magnitudes[round(math.log(size) / _STEP) if size else -1] += 1

    @property
    def median(self) -> int | None:
        """Right to one percent."""
        if self.smallest is None or self.largest is None:
            return None
        left = (self.magnitudes.total() - 1) // 2
        for magnitude in sorted(self.magnitudes):
            left -= self.magnitudes[magnitude]
            if left < 0:
                size = round(math.exp(magnitude * _STEP)) if magnitude >= 0 else 0
                return min(max(size, self.smallest), self.largest)
        return self.largest

    def as_json(self) -> dict[str, int | None]:
        return {"smallest": self.smallest, "median": self.median, "largest": self.largest}


@dataclass
class Inspected:
    """What the headers of some images say."""

    images: int = 0
    types: Counter[str] = field(default_factory=Counter)  # by content
    width: Sizes = field(default_factory=Sizes)
    height: Sizes = field(default_factory=Sizes)
    unreadable: int = 0


@dataclass
class Inventory:
    """The images that a run would take, by name and by size, and what is left out."""

    images: int = 0
    bytes: int = 0
    unknown_sizes: int = 0  # images that a list only names; `bytes` leaves them out
    types: Counter[str] = field(default_factory=Counter)  # by extension
    sizes: Sizes = field(default_factory=Sizes)
    left_out: Counter[Why] = field(default_factory=Counter)
    inspected: Inspected | None = None
    repeats: Repeats | None = None
    why_none: str = ""  # a sentence, if no image is taken

    @property
    def can_name_left_out(self) -> bool:
        """Whether something was left out that `leave` was called with."""
        return any(count and why not in UNNAMED for why, count in self.left_out.items())

    def add(self, row: ManifestRow) -> None:
        self.images += 1
        extension = _EXTENSION.search(without_frame(row.uri).lower())
        name = extension[0] if extension else "no extension"
        self.types[name if name in self.types or len(self.types) < MOST_TYPES else "others"] += 1
        if row.size < 0:
            self.unknown_sizes += 1
        else:
            self.bytes += row.size
            self.sizes.add(row.size)


def inventory(
    source: Source,
    inspect: bool = False,
    duplicates: bool = False,
    take: Callable[[str], None] = lambda uri: None,
    leave: Callable[[str, Why], None] = lambda uri, why: None,
) -> Inventory:
    """The inventory of an input, which may hold no image; `take` and `leave` are called with every name.

    Raises: StoreError, SamLabelError.
    """
    found = Inventory()
    source = replace(source, skipped=Skipped(leave))

    def counted() -> Iterator[ManifestRow]:
        try:
            for row in source.unique_rows():
                found.add(row)
                take(row.uri)
                yield row
        except NoImages as none:
            found.why_none = str(none)

    rows: Iterable[ManifestRow] = counted()
    if duplicates:
        compared = partial(source.on_step, "images compared")
        contents = SameBytes(rows, source.root, source.options.access, compared)
        found.repeats = contents.repeats()
        rows = contents.firsts()
    if inspect:
        # the sample of seed 0, so that a second call sees the same images
        found.inspected = _inspected(sampled(rows, INSPECTED, 0, Skipped()), source)
    else:
        for _ in rows:
            pass
    found.left_out = source.skipped.counts
    if source.left_out.others:
        found.left_out[Why.PART] = source.left_out.others
    if source.repeated:
        found.left_out[Why.REPEATED] = source.repeated
    return found


def _inspected(rows: Iterator[ManifestRow], source: Source) -> Inspected:
    settings = FetchSettings(source.root, source.options.access, ANY_PIXELS)
    seen = Inspected()
    with ThreadPoolExecutor(READERS) as threads:
        for type_, size in threads.map(partial(_header, settings=settings), list(rows)):
            seen.images += 1
            seen.types[type_] += 1
            if size is None:
                seen.unreadable += 1
            else:
                seen.width.add(size[0])
                seen.height.add(size[1])
    return seen


def _header(row: ManifestRow, settings: FetchSettings) -> tuple[str, tuple[int, int] | None]:
    """Format, and width and height in pixels as they are stored; None if the header does not say."""
    try:
        data = fetched(row._asdict(), settings).data
    except ImageError as fault:
        return str(fault.reason), None
    type_ = image_format(data[:1024]) or "no image"
    try:
        return type_, stored_size(data)
    except Exception:  # noqa: BLE001  # a hostile header raises anything, and the run will name it
        return type_, None
