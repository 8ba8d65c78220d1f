"""The text of a dataset's README.md: Markdown, after a header that hubs read.

Values from outside (URLs, options) stand in code blocks, one on each line, so that none can act as Markdown.
"""

import json
from collections.abc import Iterable

from pipeline.output.dataset import Dataset
from pipeline.output.description import CITATION, LICENCE, MARKER, changed_on, name, summary, weights_licence
from pipeline.store.uri import redacted

_SIZES = {
    10**3: "n<1K",
    10**4: "1K<n<10K",
    10**5: "10K<n<100K",
    10**6: "100K<n<1M",
    10**7: "1M<n<10M",
    10**8: "10M<n<100M",
    10**9: "100M<n<1B",
}


def card_text(dataset: Dataset) -> str:
    """The whole file."""
    parts = [
        _header(dataset),
        f"<!-- {MARKER}; if you remove this line, sam-label leaves the file unchanged -->",
        f"# {name(dataset)}",
        f"{summary(dataset)}. The images themselves are not included, only their URIs.",
        "## What is in it",
        _table(_counts(dataset)),
        *_failures(dataset),
        "## How it was made",
        _made(dataset),
        "## How to load it",
        _LOADING,
        "## Licences",
        _licences(dataset),
        f"Source of the method: {CITATION}.",
    ]
    return "\n\n".join(parts) + "\n"


def _header(dataset: Dataset) -> str:
    """The YAML header; a JSON string is a YAML string too."""
    sizes = (word for limit, word in _SIZES.items() if dataset.images < limit)
    lines = [
        "---",
        f"pretty_name: {json.dumps(name(dataset))}",
        f"license: {LICENCE}",
        "task_categories:",
        "- mask-generation",
        "- image-segmentation",
        "tags:",
        "- sam-label",
        "- segment-anything",
        "size_categories:",
        f"- {next(sizes, '1B<n<10B')}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        "    path: data/*.parquet",
        "---",
    ]
    return "\n".join(lines)


def _counts(dataset: Dataset) -> list[tuple[str, str]]:
    size = dataset.bytes
    shown = f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
    return [
        ("images", f"{dataset.images:,}"),
        ("labelled", f"{dataset.labelled:,}"),
        ("failed", f"{dataset.failed:,}"),
        ("not labelled yet", f"{dataset.left:,}"),
        ("masks", f"{dataset.masks:,}"),
        ("Parquet files", f"{len(dataset.commits):,}, {shown}"),
        ("last change", f"{changed_on(dataset)}, run {dataset.record.run}"),
    ]


def _failures(dataset: Dataset) -> list[str]:
    if not dataset.failed:
        return []
    rows = [(f"`{reason}`", f"{count:,}") for reason, count in dataset.failed_by_reason.items()]
    return ["Failed images are rows without masks, by `error`:", _table(rows)]


def _made(dataset: Dataset) -> str:
    record, identity = dataset.record, dataset.identity
    changed = identity.mask_options.model_dump(exclude_defaults=True)
    facts = {
        "input": redacted(record.input),
        "model": identity.model_type,
        "sha256": identity.model_sha256,
        "software": f"sam-label {record.software_version}, schema version {identity.schema_version}",
        "fingerprint": identity.fingerprint,
        "scale": identity.scale,
        **({"rows of": redacted(record.filtered_from)} if record.filtered_from else {}),
    }
    options = identity.described()["mask_options"]
    for option, value in options.items():
        facts[option] = json.dumps(value) + (" (not the default)" if option in changed else "")
    longest = max(map(len, facts))
    lines = [f"    {key:<{longest}}  {' '.join(value.split())}" for key, value in facts.items()]
    return "\n".join(lines)


_LOADING = """```python
from sam_label import Dataset

for record in Dataset.open("."):  # this folder, or its URL
    if record.is_ok:
        print(record.uri, record.predicted_iou, record.masks().shape)
```
While no run is writing: `datasets.load_dataset("path/to/masks")`, `mlcroissant.Dataset("croissant.json")`, or
`data/*.parquet` in any reader of Parquet. `mask_counts` are COCO's compressed run lengths, of size
(`height`, `width`)."""


def _licences(dataset: Dataset) -> str:
    licence = weights_licence(dataset)
    weights = f"are published under {licence}" if licence else "are not among those that sam-label knows"
    lines = [
        f"- The weights that made the masks {weights}; SAM's code and weights are under Apache-2.0.",
        "- The images have licences of their own, which are not recorded here.",
        "- The masks' licence is yours to choose: set `license` above, and remove the comment below.",
    ]
    return "\n".join(lines)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows)])
