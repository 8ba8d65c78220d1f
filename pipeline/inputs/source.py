"""Which files of the input are images to label: listed once, page by page, by one rule for disks and stores.

The content decides what an image is, but a folder of photos also holds notes and annotations. A file whose
name says image is listed (a text file named .jpg becomes a failed row: it is reported, not lost). One whose
name says something else is left out, and so is an empty one without an image's name: `_SUCCESS`, `x_$folder$`
and other markers. Any other file is listed if its first bytes are an image's. What is left out is counted.
Hidden files and folders are neither read nor counted.

A link to a place outside the input is left out and counted, or followed if that is asked for.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.errors import StoreError, UsageError
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.images.names import instead_of, pattern_hint, says_image, says_other
from pipeline.inputs.kinds import LeftOut, is_container, lance_folder, rows_of_file
from pipeline.inputs.options import DEFAULT, SourceOptions
from pipeline.output.format.manifest import ManifestRow
from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import Location, location, redacted

PEEKS_AT_ONCE = 32  # they wait on the network, not for a core


class _Verdict(Enum):
    """What a listed file is to the run."""

    IMAGE = "image"
    OTHER_FILE = "other file"
    LINK = "link"


@dataclass
class Source:
    """An input that exists. The counts are of the files that `rows` has left out so far."""

    url: str
    store: Store
    one_file: Entry | None  # if the input is a single file
    options: SourceOptions = DEFAULT
    skipped_files: int = 0  # no images by name or content
    skipped_links: int = 0  # to files and folders outside the input
    left_out: LeftOut = field(default_factory=LeftOut)  # of archives and tables

    @classmethod
    def of(cls, config: RunConfig) -> "Source":
        """The input of a run. Raises: as `at`."""
        return cls.at(config.input, SourceOptions.of(config))

    @classmethod
    def at(cls, url: str, options: SourceOptions = DEFAULT) -> "Source":
        """The input that a path or URL names. Raises: UsageError if there is none, StoreError."""
        store = Store.at(url, options.access)
        whole, name = Store.of_uri(store.url, options.access)
        # a slash at the end means the folder, as in a shell
        file = whole.info(name) if name and not url.endswith("/") else None
        if file is not None and not _hides_a_folder(file, store):
            _refuse_other_kinds(file, whole, url)
            return cls(url, whole, file, options)
        if table := lance_folder(whole, name.rstrip("/")):
            return cls(url, whole, table, options)
        if store.is_local and not Path(store.location.root or "/").is_dir():
            raise UsageError(
                f"there is no file or folder {redacted(url)}"
                + (pattern_hint(url) or "; name one that holds images")
            )
        return cls(url, store, None, options)

    @property
    def location(self) -> Location:
        """The place that the input names: the folder or prefix, or the single file itself."""
        return location(self.url)

    @property
    def root(self) -> str | None:
        """The folder on disk that no image may leave; None if there is no such limit.

        There is none for an object store, for a file that is the input itself, and if links are followed.
        """
        is_limited = self.store.is_local and self.one_file is None and not self.options.follow_links
        return self.store.location.root or "/" if is_limited else None

    def rows(self) -> Iterator[ManifestRow]:
        """The images in listing order, those in archives and tables only if there are no others.

        Raises: UsageError if there is none, StoreError.
        """
        is_empty = True
        for file in self._files_or_containers():
            for row in rows_of_file(self.store, file, self.options, self.left_out):
                is_empty = False
                yield row
        if is_empty:
            raise UsageError(self._no_image())

    def require_images(self) -> None:
        """Raises UsageError if the input holds no image."""
        next(replace(self, left_out=LeftOut(said=self.left_out.said)).rows())

    def _files_or_containers(self) -> Iterator[Entry]:
        """A folder of photos may have its own archive beside it; a folder without one is what it holds."""
        is_empty = True
        for file in self._files():
            is_empty = False
            yield file
        if is_empty:
            for page in self.store.list(hidden=False, follow_links=self.options.follow_links):
                for entry in page:
                    if is_container(entry.name) and not entry.leads_out:
                        self.skipped_files -= 1
                        yield entry
                    elif entry.name.endswith(".arrow") and not self.left_out.why:
                        self.left_out.why = (
                            f"{redacted(self.store.uri(entry.name))}: {instead_of(entry.name)}"
                        )

    def _files(self) -> Iterator[Entry]:
        if self.one_file is not None:
            yield self.one_file
            return
        with ThreadPoolExecutor(PEEKS_AT_ONCE) as threads:
            for page in self.store.list(hidden=False, follow_links=self.options.follow_links):
                for entry, verdict in zip(page, threads.map(self._verdict, page), strict=True):
                    self.skipped_files += verdict is _Verdict.OTHER_FILE
                    self.skipped_links += verdict is _Verdict.LINK
                    if verdict is _Verdict.IMAGE:
                        yield entry

    def _verdict(self, entry: Entry) -> _Verdict:
        if says_other(entry.name):
            return _Verdict.OTHER_FILE
        if entry.leads_out:
            return _Verdict.LINK
        is_image = says_image(entry.name) or _starts_as_image(self.store, entry)
        return _Verdict.IMAGE if is_image else _Verdict.OTHER_FILE

    def _no_image(self) -> str:
        """Why a listing without images ends the run, in a sentence."""
        hint = pattern_hint(self.url) or "; name a folder that holds images"
        if self.skipped_links:
            hint = "; pass --follow-links to follow the links"
        if self.left_out.why:
            hint = f"; {self.left_out.why}"
        return (
            f"no image was found in {redacted(self.url)} (other files: {self.skipped_files:,}, "
            f"links out of it: {self.skipped_links:,}){hint}"
        )


def _hides_a_folder(file: Entry, folder: Store) -> bool:
    """Whether an object is only the marker of a folder of the same name, which an object store allows.

    Raises: UsageError if it has bytes of its own, so that either may be meant.
    """
    if folder.is_local or not folder.is_listable or next(folder.list(), None) is None:
        return False
    if file.size:
        place = redacted(folder.url)
        raise UsageError(f"{place} is an object and a folder too; name {place}/ for the folder")
    return True


def _refuse_other_kinds(file: Entry, store: Store, url: str) -> None:
    """Raises UsageError for a single file that is no image, and whose name does not say so."""
    if says_other(file.name) and not is_container(file.name) and not _starts_as_image(store, file):
        raise UsageError(f"{redacted(url)} is no image; {instead_of(file.name)}")


def _starts_as_image(store: Store, file: Entry) -> bool:
    if file.size == 0 and file.etag:
        return False
    try:
        return image_format(store.read_range(file.name, 0, HEADER_BYTES)) is not None
    except StoreError:
        return True  # its row will say why it cannot be read
