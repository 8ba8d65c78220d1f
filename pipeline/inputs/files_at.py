"""The files that a user's INPUT names: one file, a folder, or the matches of a pattern."""

from pathlib import Path

from pipeline.errors import UsageError
from pipeline.inputs.braces import has_braces
from pipeline.inputs.files import Files, NoImages
from pipeline.inputs.folder import Folder
from pipeline.inputs.kinds import lance_folder
from pipeline.inputs.matches import Matches
from pipeline.inputs.named_files import NamedFiles
from pipeline.inputs.one_file import OneFile
from pipeline.inputs.pattern import has_glob, is_pattern
from pipeline.store.objects import Entry
from pipeline.store.settings import Access
from pipeline.store.storage import Store
from pipeline.store.uri import redacted


def files_at(url: str, access: Access) -> Files:
    """The files of a path, URL or pattern; a file or folder with exactly that name has precedence.

    Raises: UsageError if there is none, StoreError.
    """
    store = Store.at(url, access)
    whole, name = Store.of_uri(store.url, access)
    # in a web URL * and ? are ordinary characters
    may_be_pattern = is_pattern(name) if store.is_listable else has_braces(name)
    # a slash at the end means the folder, as in a shell
    file = whole.info(name) if name and not url.endswith("/") else None
    if file is not None and not _hides_a_folder(file, store):
        return OneFile(whole, file)
    if table := lance_folder(whole, name.rstrip("/")):
        return OneFile(whole, table)
    is_folder = Path(store.location.path).is_dir() if store.is_local else not may_be_pattern
    if is_folder or (may_be_pattern and not store.is_local and next(store.list(), None) is not None):
        return Folder(store)
    if may_be_pattern:
        return _matches(whole, f"{name}/**" if url.endswith("/") else name)
    raise NoImages(f"there is no file or folder {redacted(url)}; name one that holds images")


def _matches(whole: Store, pattern: str) -> Files:
    if not has_glob(pattern):
        return NamedFiles.of(whole, pattern)
    matches = Matches.of(whole, pattern)
    folder = matches.store.location.path
    if whole.is_local and not Path(folder).is_dir():
        raise NoImages(
            f"there is no folder {redacted(folder)}, in which the pattern should match; name one that holds "
            "images"
        )
    return matches


def _hides_a_folder(file: Entry, folder: Store) -> bool:
    """Whether an object is only the marker of a folder of the same name, which an object store allows.

    Raises: UsageError if it has bytes of its own, so that either may be meant.
    """
    if folder.is_local or not folder.is_listable or next(folder.list(), None) is None:
        return False
    if file.size:
        place = redacted(folder.url)
        raise UsageError(f"{place} is both an object and a folder; name {place}/ for the folder")
    return True
