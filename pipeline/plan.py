"""What a run would do, without doing it: nothing is written and Ray is not started."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.inputs.files import NoImages
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.sample import sampled
from pipeline.inputs.source import Source, place_of
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import ManifestRow, rows_of, sorted_rows
from pipeline.output.refresh import Refreshed
from pipeline.output.writer import dataset_to_resume
from pipeline.progress import Steps, silent_steps
from pipeline.store.storage import Store
from pipeline.store.uri import Location, redacted
from pipeline.weights.models import weights_of

SAMPLE = 32  # images whose sizes stand for all


@dataclass(frozen=True)
class RunPlan:
    """The images of the whole dataset, those that a run would label, and their bytes."""

    images: int
    pending: int
    size_bytes: int
    skipped_files: int = 0  # files of the input that are no images; 0 if an earlier run listed it
    skipped_links: int = 0  # links that lead out of the input; 0 if an earlier run listed it
    repeated: int = 0  # lines of a list that name an image again
    unknown_sizes: int = 0  # images to label that a list names; their bytes are not counted
    skipped_parts: int = 0  # members of archives that are no images, and tables without images
    damages: int = 0  # places in archives and tables where images may be lost
    empty_input: str = ""  # INPUT, if no image was found in it and --allow-empty is given
    sample: tuple[ManifestRow, ...] = ()  # of the pending ones


def plan(config: RunConfig, on_step: Steps = silent_steps) -> RunPlan:
    """The plan of a run; `on_step` is told how far the listing is.

    Raises: what `run` would raise before its first image.
    """
    try:
        return _plan(config, on_step)
    except NoImages as none:
        dataset = finished_dataset(config, none)
        return RunPlan(dataset.images if dataset else 0, 0, 0, empty_input=redacted(config.input))


def _plan(config: RunConfig, on_step: Steps) -> RunPlan:
    weights = weights_of(config)
    source, store = Source.of(config), Store.at(config.output, config.output_access)
    source.on_step = on_step
    source.refuse_overlap(store.location)
    identity = Identity.of(weights.model_type, weights.sha256, config.mask, config.reading)
    dataset = dataset_to_go_on_with(config, store, identity, source.location)
    if dataset is None:
        return _planned(source.unique_rows(), None, config.limit, source)
    if config.refresh:
        old, left = rows_of(dataset.manifest()), rows_of(dataset.pending())
        refreshed = Refreshed(old, sorted_rows(source.rows()), left)
        planned = _planned(refreshed.pending(), None, config.limit, source)
        return replace(planned, images=refreshed.images)
    return _planned(rows_of(dataset.pending()), dataset.images, config.limit, source)


def dataset_to_go_on_with(
    config: RunConfig, store: Store, identity: Identity, source: Location
) -> Dataset | None:
    """The dataset that a run of the input at `source` continues; None if the run begins one.

    Raises: UsageError if the output holds something else, or its input was listed with other options.
    """
    dataset = dataset_to_resume(store, identity, str(source), config.overwrite)
    refuse_other_listing(dataset, SourceOptions.of(config), config.refresh)
    return dataset


def finished_dataset(config: RunConfig, none: NoImages) -> Dataset | None:
    """The complete dataset of an INPUT without an image; None if none was begun.

    Raises: `none` without --allow-empty, or if the dataset still lacks rows; UsageError if the output holds
        something else, or a dataset that --overwrite would delete.
    """
    if not config.allow_empty:
        raise none
    weights, store = weights_of(config), Store.at(config.output, config.output_access)
    identity = Identity.of(weights.model_type, weights.sha256, config.mask, config.reading)
    dataset = dataset_to_go_on_with(config, store, identity, place_of(config.input))
    if config.overwrite and Dataset.in_store_or_none(store):
        raise UsageError(
            f"no image was found in {redacted(config.input)}, so the dataset in {store.url} was not deleted; "
            "leave --overwrite out, or name an input with images"
        )
    if dataset and dataset.left:
        raise none
    return dataset


def refuse_other_listing(dataset: Dataset | None, options: SourceOptions, refresh: bool) -> None:
    """Raises UsageError if a run would continue a listing that was made with other input options."""
    if dataset is None:
        return
    then, now = dataset.record.listed_with, options.of_listing()
    if refresh:
        _refuse_other_ids(dataset, then.get("id_column"), now.get("id_column"))
        return
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            flag = f"--{name.replace('_', '-')}"
            how = f"with {flag}{_value(then[name])}" if name in then else f"without {flag}"
            raise UsageError(
                f"the input of {dataset.store.url} was listed {how}; "
                f"{'give it' if name in then else 'leave it out'} to continue, or add --refresh to list it "
                "again"
            )


def _refuse_other_ids(dataset: Dataset, then: str | None, now: str | None) -> None:
    """Raises UsageError if a refresh would give images new ids: each would be in the dataset twice."""
    if then != now:
        how = f"with --id-column {then}" if then else "without --id-column"
        raise UsageError(
            f"the images of {dataset.store.url} have their ids from a listing {how}; list them in the same "
            "way again, or name another output"
        )


def _value(value: object) -> str:
    return "" if value is True else f" {value}"


def _planned(rows: Iterable[ManifestRow], images: int | None, limit: int | None, source: Source) -> RunPlan:
    listed = 0

    def counted() -> Iterator[ManifestRow]:
        nonlocal listed
        for row in rows:
            listed += 1
            yield row

    every = counted()
    pending = sampled(islice(every, limit), SAMPLE, seed=0)
    for _ in every:
        pass  # images beyond the limit are counted too
    return RunPlan(
        listed if images is None else images,
        pending.images,
        pending.size_bytes,
        source.skipped_files,
        source.skipped_links,
        source.repeated,
        pending.unknown_sizes,
        source.left_out.others,
        source.left_out.damages,
        sample=tuple(pending.rows),
    )
