"""Files that braces name one by one, as input: `s3://b/{000..999}.jpg`. They are looked up, not listed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

from pipeline.errors import UsageError
from pipeline.inputs.braces import expanded
from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import Location, location, redacted, refuse_overlap

PAGE = 1000
LOOK_UPS_AT_ONCE = 32  # they wait on the network, not for a core


@dataclass(frozen=True)
class NamedFiles:
    """The files that a text with braces stands for, by names relative to the folder before the braces."""

    store: Store
    text: str
    is_named: bool = True

    @classmethod
    def of(cls, whole: Store, text: str) -> "NamedFiles":
        """The files of a whole store."""
        folder = text.partition("{")[0].rpartition("/")[0]
        if not folder or not whole.is_listable:  # a web host is always whole
            return cls(whole, text)
        place = whole.location
        store = replace(whole, location=Location(place.scheme, f"{place.root}/{folder}"))
        return cls(store, text.removeprefix(f"{folder}/"))

    def pages(self, follow_links: bool, hidden: bool = False) -> Iterator[list[Entry]]:
        names = expanded(self.text)
        seen: set[str] = set()  # a million at most
        with ThreadPoolExecutor(LOOK_UPS_AT_ONCE) as threads:
            while page := list(islice(names, PAGE)):
                new = [name for name in dict.fromkeys(page) if name not in seen]
                seen.update(new)
                yield [
                    self._found(name, file)
                    for name, file in zip(new, threads.map(self.store.info, new), strict=True)
                ]

    def refuse_overlap(self, output: Location) -> None:
        for name in expanded(self.text):
            refuse_overlap(location(self.store.uri(name)), output)

    def _found(self, name: str, file: Entry | None) -> Entry:
        if file is None:
            raise UsageError(
                f"there is no file {redacted(self.store.uri(name))}, which the braces of INPUT name; use * "
                "instead of the braces to match existing files, or add a slash at the end to match folders"
            )
        return file
