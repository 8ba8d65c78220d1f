"""Which images a run labels: it lists the files of its input once, and takes the selected ones.

A link to a place outside the input is left out and counted, or followed if that is asked for. Hidden files
and folders are neither read nor counted. Everything else that is left out is counted.

A single file may be a list that names images elsewhere (pipeline/inputs/lists); in a folder a list is left
out. Archives and tables are opened only if the input holds no other images: a folder of photos may also hold
an archive of them.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from pipeline.config import RunConfig
from pipeline.containers.part import CONTAINER
from pipeline.errors import Reason, StoreError, UsageError
from pipeline.images.names import instead_of, says_other
from pipeline.inputs.files import Files, NoImages
from pipeline.inputs.files_at import files_at
from pipeline.inputs.kinds import LeftOut, is_container, is_table, rows_of_file
from pipeline.inputs.lists.given import (
    STANDARD_INPUT,
    STANDARD_INPUT_PLACE,
    list_of_file,
    list_of_standard_input,
    refuse_list_options,
)
from pipeline.inputs.lists.image_list import ImageList
from pipeline.inputs.matches import Matches
from pipeline.inputs.one_file import OneFile
from pipeline.inputs.options import DEFAULT, SourceOptions
from pipeline.inputs.pattern import has_glob, is_pattern
from pipeline.inputs.same_bytes import SameBytes
from pipeline.inputs.selection import Selection
from pipeline.inputs.skipped import Skipped, Why
from pipeline.inputs.verdict import starts_as_image, why_left_out
from pipeline.output.format.duplicates import Duplicate
from pipeline.output.format.manifest import ManifestRow, sorted_rows
from pipeline.progress import Steps, silent_steps, told
from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import Location, location, redacted
from sam_core.cached import cached_property

PEEKS_AT_ONCE = 32  # they wait on the network, not for a core


@dataclass
class Source:
    """An input that exists. The counts say what `rows` has left out so far."""

    url: str
    files: Files
    options: SourceOptions = DEFAULT
    skipped: Skipped = field(default_factory=Skipped)
    contents: SameBytes | None = None  # if they were compared
    sees_hidden: bool = False  # to count hidden files, which are left out all the same
    image_list: ImageList | None = None  # if the input only names images
    left_out: LeftOut = field(default_factory=LeftOut)  # of archives and tables
    on_step: Steps = silent_steps  # told how many images are listed, chosen and compared so far

    @classmethod
    def of(cls, config: RunConfig) -> "Source":
        """The input of a run. Raises: as `at`."""
        return cls.at(config.input, SourceOptions.of(config), location(config.output))

    @classmethod
    def at(cls, url: str, options: SourceOptions = DEFAULT, output: Location | None = None) -> "Source":
        """The input that a path, URL or pattern names; a list may not name images in the output.

        Raises: UsageError if there is none, StoreError.
        """
        if url == STANDARD_INPUT:
            piped = list_of_standard_input(options, output)
            return cls(str(STANDARD_INPUT_PLACE), OneFile(piped.store, piped.file), options, image_list=piped)
        files = files_at(url, options.access)
        if isinstance(files, OneFile) and not starts_as_image(files.store, files.file):
            images = list_of_file(files.store, files.file, options, output)
            if images is not None:
                return cls(url, files, options, image_list=images)
            _refuse_other_kinds(files.file, url)
        refuse_list_options(options, url)
        # with a slash the pattern names folders, and these are another input than files of such names
        is_of_folders = isinstance(files, Matches) and url.endswith("/")
        return cls(f"{url}**" if is_of_folders else url, files, options)

    @property
    def store(self) -> Store:
        return self.files.store

    @property
    def location(self) -> Location:
        """The place that the input names: the folder or prefix, the single file, or the pattern itself."""
        return location(self.url)

    @property
    def root(self) -> str | None:
        """The folder on disk that no image may leave; None if there is no such limit.

        There is none for an object store, for files that the input names, and if links are followed.
        """
        is_limited = self.store.is_local and not self.files.is_named and not self.options.follow_links
        return self.store.location.path if is_limited else None

    @property
    def skipped_files(self) -> int:
        """Files that are no images by name or content."""
        return self.skipped.counts[Why.OTHER_FILE] + self.skipped.counts[Why.EMPTY]

    @property
    def skipped_links(self) -> int:
        """Links to files and folders outside the input."""
        return self.skipped.counts[Why.LINK]

    @cached_property
    def selection(self) -> Selection:
        return Selection.of(self.options)

    def rows(self) -> Iterator[ManifestRow]:
        """The images that are taken, in listing order. Raises: UsageError if there is none, StoreError."""
        is_empty = True
        listed = told(self._named_rows(), partial(self.on_step, "images listed"))
        rows = self.selection.of_listing(listed, self.skipped)
        if self.options.sample is not None:
            rows = told(rows, partial(self.on_step, "images of the sample"))
        try:
            for row in self._each_content_once(rows) if self.options.deduplicate else rows:
                is_empty = False
                yield row
        except StoreError as fault:
            if not is_empty or self.store.is_local or fault.reason is not Reason.SOURCE_MISSING:
                raise
            raise UsageError(f"{fault}; name one that exists at the endpoint in use") from fault
        if is_empty:
            raise NoImages(self._no_image())

    @property
    def repeated(self) -> int:
        """Lines of a list that name an image again, as far as it was listed."""
        return self.image_list.repeated if self.image_list else 0

    def unique_rows(self) -> Iterator[ManifestRow]:
        """The images, each once: a list may name one twice. Raises: as `rows`, SamLabelError."""
        return sorted_rows(self.rows()) if self.image_list else self.rows()

    def require_images(self) -> None:
        """Raises UsageError if the input holds no image; no sample is drawn and no content compared."""
        options = replace(self.options, sample=None, deduplicate=False)
        left_out = LeftOut(said=self.left_out.said)
        first = replace(self, options=options, skipped=Skipped(), left_out=left_out)
        next(first.rows())

    def refuse_overlap(self, output: Location) -> None:
        """Raises UsageError if the output and the input lie inside each other."""
        self.files.refuse_overlap(output)

    def duplicates(self) -> Iterator[Duplicate]:
        """The duplicates that `rows` has left out; they are known once `rows` was read to its end."""
        return self.contents.duplicates() if self.contents else iter(())

    def _each_content_once(self, rows: Iterator[ManifestRow]) -> Iterator[ManifestRow]:
        compared = partial(self.on_step, "images compared")
        self.contents = SameBytes(rows, self.root, self.options.access, compared)
        for duplicate in self.contents.duplicates():
            self.skipped.add(duplicate.uri, Why.DUPLICATE)
        yield from self.contents.firsts()

    def _named_rows(self) -> Iterator[ManifestRow]:
        """The images that pass the name filters."""
        one = self.files.file.name.rpartition("/")[2] if isinstance(self.files, OneFile) else None
        for file in self._image_files():
            rows = (
                self._listed_rows(self.image_list)
                if self.image_list
                else rows_of_file(self.store, file, self.options, self.left_out)
            )
            name = "" if self.image_list else one or file.name
            yield from self.selection.of_names(rows, name, self._folder_of_names, self.skipped)

    @property
    def _folder_of_names(self) -> str:
        """What the names in --include and --exclude are relative to: a folder, an archive or a table."""
        if self.image_list:
            return str(self.image_list.place.folder)
        if not isinstance(self.files, OneFile):
            return self.store.url
        uri = self.store.uri(self.files.file.name)
        return uri if CONTAINER.search(uri) else uri.rpartition("/")[0]

    def _listed_rows(self, image_list: ImageList) -> Iterator[ManifestRow]:
        """The images that a list names; each once if a sample or a comparison of contents follows."""
        counts = self.options.sample is not None or self.options.deduplicate
        if not counts:
            return image_list.rows()
        return sorted_rows(told(image_list.rows(), partial(self.on_step, "lines of the list read")))

    def _image_files(self) -> Iterator[Entry]:
        if isinstance(self.files, OneFile):
            if self.image_list or not is_table(self.files.file.name):
                self._refuse_image_column()
            yield self.files.file
            return
        with closing(self._taken(Skipped(), with_containers=False)) as images:
            has_images = next(images, None) is not None
        if has_images:
            self._refuse_image_column()
        yield from self._taken(self.skipped, with_containers=not has_images)

    def _refuse_image_column(self) -> None:
        """Raises UsageError if a column of tables is named, since no table is opened."""
        if self.options.image_column is not None:
            raise UsageError(
                f"--image-column is only for tables, and no table of {redacted(self.url)} is read; leave it "
                "out, or name the tables"
            )

    def _taken(self, skipped: Skipped, with_containers: bool) -> Generator[Entry, None, None]:
        """The files that are images, or archives and tables of them if these are to be opened."""
        verdict = partial(
            why_left_out,
            self.store,
            selection=self.selection,
            is_named=self.files.is_named,
            with_containers=with_containers,
        )
        with ThreadPoolExecutor(PEEKS_AT_ONCE) as threads:
            for page in self.files.pages(self.options.follow_links, self.sees_hidden):
                for entry, why in zip(page, threads.map(verdict, page), strict=True):
                    if why is None:
                        yield entry
                    else:
                        skipped.add(self.store.uri(entry.name), why)
                        if with_containers and entry.name.endswith(".arrow"):
                            place = redacted(self.store.uri(entry.name))
                            self.left_out.why = self.left_out.why or f"{place}: {instead_of(entry.name)}"

    def _no_image(self) -> str:
        """The error message for an input without images."""
        counts = self.skipped.counts
        hint = "name a folder that holds images"
        if is_pattern(self.url):
            hint = "a pattern names files, and * matches within one folder, ** matches any folders"
        if counts[Why.EXCLUDED]:
            hint = f"--include or --exclude leaves out {counts[Why.EXCLUDED]:,}"
        if self.skipped_links:
            hint = "pass --follow-links to follow the links"
        if counts[Why.SHARD]:
            hint = f"its images are in other shards than {self.options.shard}"
        if self.left_out.others:
            hint = f"other parts of its archives and tables: {self.left_out.others:,}"
        if self.left_out.why:
            hint = self.left_out.why
        return (
            f"no image was found in {redacted(self.url)} (other files: {self.skipped_files:,}, "
            f"links out of it: {self.skipped_links:,}); {hint}"
        )


def place_of(url: str) -> Location:
    """What `Source.location` is for an input; the input need not exist."""
    if url == STANDARD_INPUT:
        return STANDARD_INPUT_PLACE
    return location(f"{url}**" if url.endswith("/") and has_glob(url) else url)


def _refuse_other_kinds(file: Entry, url: str) -> None:
    """Raises UsageError for a single file that is no image, and whose name does not say that it is one."""
    if says_other(file.name) and not is_container(file.name):
        raise UsageError(f"{redacted(url)} is not an image; {instead_of(file.name)}")
