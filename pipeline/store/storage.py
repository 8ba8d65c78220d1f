"""`Store`, the only access to disks and object stores, with every retry and every error message.

A store travels to a worker as its location and its access settings, and connects there when it is first used.
Objects are whole, and immutable unless `publish` replaces them.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar, cast

from pipeline.errors import Reason, StoreError, UsageError
from pipeline.store.disk import Disk
from pipeline.store.faults import IO_FAULTS, lacks_credentials, reason_of, tried
from pipeline.store.objects import Entry, Got, NoPutIfAbsent, Objects, Wanted
from pipeline.store.settings import DEFAULT_ACCESS, Access
from pipeline.store.uri import WEB, Location, location, redacted, split_uri
from sam_core.cached import cached_property

T = TypeVar("T")
U = TypeVar("U")
READERS = 16


@dataclass(frozen=True)
class Store:
    """A folder, a bucket's prefix or a web host. A call retries transient errors, then raises StoreError.

    `access` says how an object store or a web host is reached.
    """

    location: Location
    access: Access = DEFAULT_ACCESS

    @classmethod
    def at(cls, url: str, access: Access = DEFAULT_ACCESS) -> "Store":
        """The store that a URL or a path names. Raises: UsageError."""
        return cls(location(url), access)

    @classmethod
    def of_uri(cls, uri: str, access: Access = DEFAULT_ACCESS) -> tuple["Store", str]:
        """The store that holds an image of the manifest, and the image's name in it."""
        whole, name = split_uri(uri)
        return cls(whole, access), name

    @property
    def url(self) -> str:
        return str(self.location)

    @property
    def is_local(self) -> bool:
        return self.location.scheme == "file"

    @property
    def is_writable(self) -> bool:
        """Whether a dataset can live here: it needs put-if-absent, and listings that are never old."""
        return self.is_listable

    @property
    def is_listable(self) -> bool:
        """Whether it can list its objects, which no web server can."""
        return self.location.scheme not in WEB

    def uri(self, name: str) -> str:
        """The object's own URI (pipeline/store/uri.py)."""
        return self.location.uri(name)

    def list(
        self,
        prefix: str = "",
        hidden: bool = True,
        follow_links: bool = False,
        wanted: Wanted | None = None,
    ) -> Iterator[list[Entry]]:
        """The objects below the folder `prefix`, at most 1,000 a page; none if there is no such folder.

        In the byte order of their names on a disk and on S3. A page is fetched when it is asked for, but a
        long listing is read ahead (pipeline/store/listing.py). Without `hidden`, objects whose name or folder
        starts with a dot are left out. `follow_links` is for disks (pipeline/store/tree.py). Names that are
        not `wanted` may be left out.
        """
        try:
            yield from filter(None, self._objects.pages(prefix, hidden, follow_links, wanted))
        except IO_FAULTS as fault:
            folder = str(getattr(fault, "filename", None) or "")  # on a disk: the folder that failed
            is_below = folder.startswith(f"{self.location.root}/")
            name = folder.removeprefix(f"{self.location.root}/") if is_below else prefix
            raise self._failure("list", name, fault) from fault

    def is_link(self, folder: str) -> bool:
        """Whether a folder of the store is a link on a disk; the store itself ("") may be one."""
        return self.is_local and folder != "" and Path(self.location.path, folder).is_symlink()

    def read(self, name: str) -> bytes:
        """The whole object. Raises: StoreError, SOURCE_MISSING if there is none."""
        return self.get(name).data

    def get(self, name: str) -> Got:
        """The whole object and its etag. Raises: StoreError, SOURCE_MISSING if there is none."""
        return self._tried("read", name, lambda: self._objects.get(name))

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """The bytes start..end, end excluded."""
        return self.get_range(name, start, end).data

    def get_range(self, name: str, start: int, end: int) -> Got:
        """The bytes start..end, end excluded, and the etag of the whole object."""
        return self._tried("read", name, lambda: self._objects.get_range(name, start, end))

    def info(self, name: str) -> Entry | None:
        """The object's entry, None if there is no such object; a folder is not an object."""
        return self._tried("read", name, lambda: self._objects.info(name))

    def create(self, name: str, data: bytes) -> bool:
        """Whether the object was absent and now holds `data`: of many callers, one gets True.

        If an answer was lost on the way, the object is read: a caller that finds its own bytes there has
        created it. So bytes that claim something contain a word that no other caller has.
        Raises: UsageError if the store cannot do this, StoreError.
        """
        attempts = 0

        def once() -> bool:
            nonlocal attempts
            attempts += 1
            return self._objects.create(name, data)

        try:
            created = self._tried("write", name, once)
        except NoPutIfAbsent as fault:
            raise UsageError(
                f"{redacted(self.url)} cannot create a file only if it does not exist ({fault}), so two "
                "runs could overwrite each other; choose another disk or object store for the output"
            ) from fault
        return created or (attempts > 1 and self.read(name) == data)

    def publish(self, name: str, data: bytes) -> None:
        """Makes the object `data`, over an older one too; readers see the old or the new, whole."""
        self._tried("write", name, lambda: self._objects.publish(name, data))

    def publish_chunks(self, name: str, chunks: Iterable[bytes]) -> None:
        """As `publish`, for an object that is too large for memory; it asks for a chunk when it needs it."""
        try:
            self._objects.publish_chunks(name, chunks)
        except IO_FAULTS as fault:
            raise self._failure("write", name, fault) from fault

    def delete(self, name: str) -> None:
        """Removes the object; one that is gone already is no fault."""
        self._tried("delete", name, lambda: self._objects.delete(name))

    @cached_property
    def _objects(self) -> Objects:
        match self.location.scheme:
            case "file":
                return Disk(self.location.path)
            case "s3":
                # Clients are imported where they are used: each process of a run pays for its imports.
                from pipeline.store.s3 import S3Objects

                return S3Objects(self.location.bucket, self.location.prefix, self.access)
            case "gs":
                gcs = _imported("pipeline.store.gcs", "gs", "gcs")
                return cast(Objects, gcs.GcsObjects(self.location.bucket, self.location.prefix, self.access))
            case "az":
                azure = _imported("pipeline.store.azure_blobs", "az", "azure")
                return cast(
                    Objects, azure.AzureObjects(self.location.bucket, self.location.prefix, self.access)
                )
            case scheme:
                from pipeline.store.web import WebObjects

                return WebObjects(scheme, self.location.bucket, self.access)

    def _tried(self, verb: str, name: str, call: Callable[[], T]) -> T:
        try:
            return tried(call, f"{verb} {self.uri(name)}")
        except IO_FAULTS as fault:
            raise self._failure(verb, name, fault) from fault

    def _failure(self, verb: str, name: str, fault: Exception) -> StoreError:
        reason = reason_of(fault)
        why = getattr(fault, "strerror", None) or " ".join(str(fault).split()) or type(fault).__name__
        if self.location.scheme in WEB:  # the host says what is wrong, and no setting of ours fixes it
            advice = ""
        else:
            advice = _ANONYMOUS if lacks_credentials(fault) else _ADVICE.get(reason, "")
        return StoreError(reason, redacted(f"cannot {verb} {self.uri(name)}: {why}{advice}"))

    def __getstate__(self) -> dict[str, object]:
        # a connection does not travel to another process
        return {"location": self.location, "access": self.access}


_ANONYMOUS = "; set credentials in the environment, or pass --anonymous if the input is public"
_ADVICE = {
    Reason.FORBIDDEN: "; check the permissions, or the credentials and settings in the environment",
    Reason.SOURCE_UNAVAILABLE: "; run again when the store answers and has room",
}


def _imported(module: str, scheme: str, extra: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as missing:
        raise UsageError(
            f"{scheme}:// needs a package that is not installed: pip install 'sam-label[{extra}]'"
        ) from missing


def side_by_side(read: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """The result of `read` for each item, in order; after the first error no further call begins."""
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(read, items))
