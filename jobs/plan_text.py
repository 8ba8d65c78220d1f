"""What `sam-label plan` prints."""

from typing import TYPE_CHECKING, Any

from jobs.wording import counted, size, tallied
from pipeline.store.uri import redacted

if TYPE_CHECKING:
    from pipeline.inputs.inventory import Inspected, Inventory, Sizes
    from pipeline.output.dataset import Dataset


def inventory_text(found: "Inventory", dataset: "Dataset | None") -> str:
    """Counts, types, sizes, what is left out, and the results of --inspect and --duplicates."""
    sizes = [size(found.bytes)] if found.bytes or not found.unknown_sizes else []
    sizes += [f"{found.unknown_sizes:,} of unknown size"] if found.unknown_sizes else []
    lines = [
        redacted(found.why_none) or f"{counted(found.images, 'image')} would be taken, {', '.join(sizes)}"
    ]
    if found.types:
        lines.append(f"types by name: {tallied(found.types)}")
    if found.sizes.largest is not None:
        lines.append(f"sizes: {_sizes(found.sizes)}")
    if found.inspected is not None:
        lines += _inspected_lines(found.inspected)
    if found.repeats is not None:
        lines.append(
            f"duplicates: {counted(found.repeats.images, 'image')} repeat the bytes of "
            f"{found.repeats.contents:,} others, {size(found.repeats.bytes)} (--deduplicate labels each once)"
        )
    left_out = {str(why): count for why, count in found.left_out.items()}
    hint = " (--names left-out names them)" if found.can_name_left_out else ""
    lines.append(f"left out: {tallied(left_out) or 'nothing'}{hint}")
    if dataset is not None:
        lines.append(
            f"OUTPUT holds {counted(dataset.images, 'image')}: {dataset.labelled:,} labelled, "
            f"{dataset.failed:,} failed, {dataset.left:,} left"
        )
    return "\n".join(lines)


def inventory_json(found: "Inventory", dataset: "Dataset | None") -> dict[str, Any]:
    """The same as values."""
    inspected, repeats = found.inspected, found.repeats
    return {
        "images": found.images,
        "bytes": found.bytes,
        "unknown_sizes": found.unknown_sizes,
        "types": dict(found.types.most_common()),
        "sizes": found.sizes.as_json(),
        "left_out": {str(why): count for why, count in found.left_out.most_common()},
        "inspected": inspected
        and {
            "images": inspected.images,
            "types": dict(inspected.types.most_common()),
            "width": inspected.width.as_json(),
            "height": inspected.height.as_json(),
            "unreadable": inspected.unreadable,
        },
        "duplicates": repeats
        and {"contents": repeats.contents, "images": repeats.images, "bytes": repeats.bytes},
        "output": dataset
        and {
            "images": dataset.images,
            "labelled": dataset.labelled,
            "failed": dataset.failed,
            "left": dataset.left,
        },
    }


def _inspected_lines(seen: "Inspected") -> list[str]:
    lines = [f"types by content, of {counted(seen.images, 'image')}: {tallied(seen.types)}"]
    if seen.width.largest is not None and seen.height.largest is not None:
        lines.append(
            f"pixels, of these: {seen.width.smallest} to {seen.width.largest} wide "
            f"(median {seen.width.median}), "
            f"{seen.height.smallest} to {seen.height.largest} high (median {seen.height.median})"
        )
    if seen.unreadable:
        lines.append(f"no pixels known: {counted(seen.unreadable, 'image')}")
    return lines


def _sizes(sizes: "Sizes") -> str:
    smallest, median, largest = (size(one or 0) for one in (sizes.smallest, sizes.median, sizes.largest))
    return f"{smallest} smallest, {median} median, {largest} largest"
