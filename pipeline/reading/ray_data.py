"""An epoch as a `ray.data.Dataset`, for Ray Train and for preprocessing on other machines."""

from collections.abc import Iterator
from typing import Any

import ray.data

from pipeline.output.format.schema import VECTORS
from pipeline.reading.feed import Feed
from pipeline.reading.record import Record
from pipeline.reading.shares import rows_in


def arrays(record: Record) -> dict[str, Any]:
    """The sample if no transform is given: names and the masks' run lengths, which are small, not pixels."""
    vectors = {name: getattr(record, name) for name in VECTORS if record.block.has(name)}
    return {
        "image_id": record.image_id,
        "uri": record.uri,
        "height": record.height,
        "width": record.width,
        "mask_counts": [counts.decode("ascii") for counts in record.counts],
        "mask_bbox": record.bbox_xywh.tolist(),
        "mask_predicted_iou": record.predicted_iou.tolist(),
        "mask_stability_score": record.stability_score.tolist(),
        **vectors,
    }


def arrays_and_image(record: Record) -> dict[str, Any]:
    """As `arrays`, with the image as uint8 [H, W, 3]."""
    return {**arrays(record), "image": record.image}


def ray_dataset(feed: Feed, epoch: int, done_rows: int) -> "ray.data.Dataset":
    """A rank's share of an epoch as a Ray dataset, in the epoch's order, without the first `done_rows`."""
    rank, ranks = feed.rank_and_ranks()
    share = feed.shares(feed.whole, ranks, 1).lanes[rank][0]
    left = feed.shares(share, 1, 1).after(1, done_rows).lanes[0][0] if done_rows else share
    pieces = [
        {"start": start, "stop": min(start + feed.window_rows, last)}
        for first, last in left
        for start in range(first, last, feed.window_rows)
    ]

    def samples(piece: dict[str, Any]) -> Iterator[Any]:
        return feed.samples(epoch, [(int(piece["start"]), int(piece["stop"]))])

    if not rows_in(left):
        return ray.data.from_items([])
    dataset = ray.data.from_items(pieces, override_num_blocks=len(pieces)).flat_map(samples)
    dataset.context.execution_options.preserve_order = True  # `done_rows` relies on the order
    return dataset
