"""Shared by all tests: a run rehearsed through the real output protocol, without Ray or model."""

import gc
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
import typer.main
from demo_dataset import Upright, write_demo
from drawn_masks import image_masks, with_vectors
from hypothesis import settings

from pipeline.errors import Reason
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import ManifestRow, manifest_row, rows_of
from pipeline.output.format.schema import failed_row, ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, OutputRun, open_output
from pipeline.store.storage import Store
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions

# Importing all tests makes millions of lasting objects; collecting garbage took a sixth of that time.
gc.disable()

settings.register_profile("no clock", deadline=None)  # no test fails because a machine is busy
settings.load_profile("no clock")

# A shell lets its background processes ignore SIGINT, and every child would inherit that: commands under test
# must be interruptible however the suite was started.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Each call takes 45 ms and builds a new command: a user's process calls it once, the tests hundreds of times.
typer.main.get_command = cache(typer.main.get_command)


def pytest_collection_finish() -> None:
    """The tests have been imported."""
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start a Ray in the test's process come last, after all tests that fork it.

    Ray leaves threads behind, and they start others. A process that is forked at such a moment may be aborted
    by glibc (infra/adr/0015).
    """
    of_ray = {item.path for item in items if "one_ray" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in of_ray)


SIDE = 8  # pixels: masks small enough to make by the thousand


@dataclass
class Rehearsal:
    """An input that exists only as a listing, with made-up labels: the same etag gives the same row."""

    etags: dict[str, str] = field(default_factory=dict)
    identity: Identity = field(default_factory=lambda: Identity("vit_t", "0" * 64, MaskOptions()))
    shard_rows: int = 3
    source: str = "file:///photos"

    def listing(self) -> Iterator[ManifestRow]:
        return (manifest_row(uri, 1, etag) for uri, etag in self.etags.items())

    def row(self, image: ManifestRow) -> dict[str, Any]:
        """The row of the image; about one in five has failed."""
        said = image._asdict()
        digest = blake2b(f"{image.uri} {image.etag}".encode()).digest()
        if digest[0] < 50:
            return failed_row(said, Reason.CORRUPT if digest[1] % 2 else Reason.EMPTY, "as rehearsed")
        seed = np.frombuffer(digest, np.uint8)
        masks = masks_of(seed, digest[1] % 4)
        if self.identity.mask_options.mask_embeddings:
            masks = with_vectors(masks, seed)
        return ok_row(said, Upright(), masks)

    def label(self, output: OutputRun, shards: int | None = None) -> None:
        """Writes the rows of all images left, or only the first few shards."""
        rows = [self.row(image) for image in rows_of(output.dataset.pending())]
        starts = range(0, len(rows), self.shard_rows)
        for task, start in enumerate(starts[:shards]):
            table = table_of(rows[start : start + self.shard_rows], self.identity.schema)
            write_shards(output.store, f"{output.run}-{task:06d}", table, output.sink().metadata)

    def run(self, store: Store, shards: int | None = None, **kwargs: Any) -> None:
        """A whole run of the command, with made-up listing and labels."""
        with open_output(store, self.identity, Listing(self.source, self.listing), **kwargs) as output:
            self.label(output, shards)

    def rows(self) -> list[dict[str, Any]]:
        """The rows that the complete dataset has, sorted by uri."""
        images = sorted(self.listing(), key=lambda image: image.uri)
        return table_of([self.row(image) for image in images], self.identity.schema).to_pylist()


def masks_of(seed: np.ndarray, count: int) -> ImageMasks:
    """`count` valid masks of SIDE x SIDE."""
    masks = [
        np.unpackbits(np.roll(seed, index))[: SIDE * SIDE].reshape(SIDE, SIDE) > 0 for index in range(count)
    ]
    scores = {
        "predicted_iou": np.full(count, 0.9, np.float32),
        "stability_score": np.full(count, 0.97, np.float32),
    }
    return replace(image_masks(masks, SIDE, SIDE), **scores)


@pytest.fixture(scope="session")
def rehearsal() -> Callable[[Sequence[str]], Rehearsal]:
    """A function that makes a rehearsal for images of the given names."""

    def of(names: Sequence[str]) -> Rehearsal:
        return Rehearsal({f"file:///photos/{name}": "1" for name in names})

    return of


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The dataset of the six sample photos; nobody writes to it."""
    output = str(tmp_path_factory.mktemp("demo"))
    write_demo(output)
    return output
