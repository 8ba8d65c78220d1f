"""Which of the listed images are taken: by name, by sample, by shard.

A sample and a shard are chosen by hashes of image ids, so that they are the same on each machine and for any
order of the listing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from pipeline.config import SHARD
from pipeline.containers.part import as_path
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.pattern import NameFilter
from pipeline.inputs.sampled import sampled
from pipeline.inputs.skipped import Skipped, Why
from pipeline.output.format.manifest import ManifestRow


@dataclass(frozen=True)
class Selection:
    """What is asked for of an input."""

    include: tuple[NameFilter, ...] = ()
    exclude: tuple[NameFilter, ...] = ()
    sample: int | None = None
    seed: int = 0
    shard: tuple[int, int] | None = None  # which, from 1, of how many

    @classmethod
    def of(cls, options: SourceOptions) -> "Selection":
        """The selection of a run's options. Raises: UsageError for braces that name too many."""
        match = SHARD.fullmatch(options.shard) if options.shard else None
        return cls(
            tuple(map(NameFilter, options.include)),
            tuple(map(NameFilter, options.exclude)),
            options.sample,
            options.seed,
            (int(match["number"]), int(match["of"])) if match else None,
        )

    def excludes_file(self, name: str) -> bool:
        """Whether no image of a file is taken; `name` is relative to the input."""
        return any(glob.matches(name) for glob in self.exclude)

    def of_names(
        self, rows: Iterable[ManifestRow], file: str, folder: str, skipped: Skipped
    ) -> Iterator[ManifestRow]:
        """The images of a file that pass the filters, by the file's name or, as parts of it, by their own.

        Names are relative to `folder`, a URL; an archive or a table counts as a folder of its members.
        """
        if not self.include and not self.exclude:
            yield from rows
            return
        is_included = not self.include or any(glob.matches(file) for glob in self.include)
        is_excluded = self.excludes_file(file)
        beginning = folder if folder.endswith("/") else f"{folder}/"
        for row in rows:
            name = as_path(row.uri).removeprefix(beginning)
            is_named = is_included or any(glob.matches(name) for glob in self.include)
            if is_named and not is_excluded and not self.excludes_file(name):
                yield row
            else:
                skipped.add(row.uri, Why.EXCLUDED)

    def of_listing(self, rows: Iterable[ManifestRow], skipped: Skipped) -> Iterator[ManifestRow]:
        """The sample of the images, and then the shard of the sample."""
        if self.sample is not None:
            rows = sampled(rows, self.sample, self.seed, skipped)
        return self.of_shard(rows, skipped)

    def of_shard(self, rows: Iterable[ManifestRow], skipped: Skipped) -> Iterator[ManifestRow]:
        for row in rows:
            if self.shard is None or shard_of(row.image_id, self.shard[1]) == self.shard[0]:
                yield row
            else:
                skipped.add(row.uri, Why.SHARD)


def shard_of(image_id: str, shards: int) -> int:
    """Which of the shards an image belongs to, from 1."""
    return int.from_bytes(blake2b(f"shard {image_id}".encode(), digest_size=8).digest()) % shards + 1
