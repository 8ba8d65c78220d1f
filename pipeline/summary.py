"""What a run did, counted from its commits at its end, also if it was stopped early."""

from dataclasses import dataclass, field, replace

from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.config import RunConfig
from pipeline.output.commits import failed_by_reason
from pipeline.output.dataset import Dataset
from pipeline.store.storage import Store


@dataclass(frozen=True)
class RunSummary:
    """What a run did, by its commits, and what earlier runs did."""

    labelled: int
    failed: int
    skipped_done: int
    total: int  # images of the whole dataset
    masks: int
    failed_by_reason: dict[str, int] = field(default_factory=dict)
    elapsed_s: float = 0.0
    output: str = ""
    run_id: str = ""
    model: str = ""
    device: str = ""  # "" if nothing was left to label
    workers: int = 0
    skipped_files: int = 0  # files of the input that are no images by name or content; 0 if it was not listed
    skipped_links: int = 0  # links that lead out of the input; 0 if it was not listed
    repeated: int = 0  # lines of a list that name an image again; 0 if it was not listed
    duplicates: int = 0  # images of the input without a row, since another one has the same bytes
    skipped_parts: int = 0  # members of archives that are no images, and tables without images
    damages: int = 0  # places in archives and tables where images may be lost
    deep: int = 0  # images of this run with more than 8 bits a sample
    narrow: int = 0  # of these, the ones that use a tenth of their scale or less
    empty_input: str = ""  # INPUT, if no image was found in it and --allow-empty is given


def summary_so_far(config: RunConfig, has_begun: bool, elapsed_s: float) -> RunSummary:
    """What a run that ended early has done; `has_begun`: whether it reported any progress."""
    store = Store.at(config.output, config.output_access)
    dataset = Dataset.in_store_or_none(store)
    if dataset is None:
        return RunSummary(0, 0, 0, 0, 0, elapsed_s=elapsed_s, output=store.url)
    if not has_begun:
        return summary_of(dataset, "", None, elapsed_s)
    report = (dataset.record.ended or {}).get("report") or {}
    return replace(
        summary_of(dataset, dataset.record.run, None, elapsed_s),
        device=report.get("device", ""),
        workers=report.get("labelers", 0),
    )


def summary_of(dataset: Dataset, run: str, pool: LabelerPool | None, elapsed_s: float) -> RunSummary:
    """What the run of this name ("": none began) has done to a dataset, with the labelers that it had."""
    own = dataset.own_commits if run else []
    rows, failed = sum(commit.rows for commit in own), failed_by_reason(own)
    return RunSummary(
        labelled=rows - sum(failed.values()),
        failed=sum(failed.values()),
        skipped_done=dataset.rows - rows,
        duplicates=dataset.record.duplicate_images,
        total=dataset.images,
        masks=sum(commit.masks for commit in own),
        deep=sum(commit.deep for commit in own),
        narrow=sum(commit.narrow for commit in own),
        failed_by_reason=failed,
        elapsed_s=elapsed_s,
        output=dataset.store.url,
        run_id=run,
        model=dataset.identity.model_type,
        device=pool.device if pool else "",
        workers=pool.workers if pool else 0,
    )
