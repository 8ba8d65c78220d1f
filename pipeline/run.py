"""A whole run: lists the input once, and sends images without a row through one chain of Ray Data steps.

A run that has nothing to do never starts Ray. A run that ends early, for whatever reason, has committed what
was done, and the same command continues from there.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import ray
import ray.data

from pipeline.cluster.attempts import AttemptLedger, LedgerHandle, Tally, add_work
from pipeline.cluster.driver_node import DriverNode, lasting_here
from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.cluster.session import ray_session, refuse_what_does_not_fit
from pipeline.cluster.supervise import INTERRUPTED, supervised
from pipeline.cluster.worker_log import logged_to
from pipeline.config import RunConfig
from pipeline.errors import GO_ON, Interrupted, SamLabelError
from pipeline.images.fetch import FetchSettings, stated_sizes
from pipeline.inputs.files import NoImages
from pipeline.inputs.source import Source
from pipeline.labelling.fetch import fetched_block
from pipeline.labelling.labeler import Labeler, LabelerSettings, LoadGenerator
from pipeline.labelling.pending import pending_images
from pipeline.labelling.sam_generator import sam_generator
from pipeline.metrics.published import Published, RunMetrics
from pipeline.metrics.report import RunReport
from pipeline.metrics.webhook import announced
from pipeline.output.format.identity import Identity
from pipeline.output.pending import mean_size
from pipeline.output.writer import Listing, OutputRun, open_output
from pipeline.plan import dataset_to_go_on_with, finished_dataset
from pipeline.program_log import logged_by
from pipeline.progress import Steps, silent_steps
from pipeline.signals import sigterm_interrupts
from pipeline.store.storage import Store
from pipeline.store.uri import redacted
from pipeline.summary import RunSummary, summary_of
from pipeline.weights.models import Weights, weights_of
from sam_core.decoding.native import built

# For reading, fetching and writing tasks. Ray's default strategy prefers nodes without GPUs while these have
# room; the strategy SPREAD does not. Each task reserves a CPU, although it waits on the network: with less,
# Ray starts more worker processes than it keeps, and ends and restarts them over and over.
LIGHT: dict[str, Any] = {"num_cpus": 1, "scheduling_strategy": "DEFAULT"}

_log = logging.getLogger("sam_label.run")
FOR_GPUS = "precision %s is for GPUs: on a CPU it is lossy and takes several times as long; use float32 there"


@dataclass(frozen=True)
class RunProgress:
    """Images of this run so far; after faults, an image done twice may count twice until the end."""

    labelled: int
    failed: int
    total: int


def run(
    config: RunConfig,
    progress: Callable[[RunProgress], None] | None = None,
    load: LoadGenerator = sam_generator,
    on_step: Steps = silent_steps,
) -> RunSummary:
    """The summary of labelling what is left of the input; `load` makes each labeler's mask generator.

    `on_step` is told how far each step before the labelling is, `progress` how many images are labelled.
    Raises: SamLabelError; every kind leaves the output whole and the rest for the next run.
    """
    report = RunReport(redacted(config.output))
    with announced(config.webhook, report), logged_by(report.log), _advising(config.overwrite):
        try:
            return _run(config, progress or (lambda _: None), load, on_step, report)
        except NoImages as none:
            dataset = finished_dataset(config, none)
            _log.info("%s", none)
            if dataset is None:
                summary = RunSummary(0, 0, 0, 0, 0, output=Store.at(config.output, config.output_access).url)
            else:
                summary = summary_of(dataset, "", None, 0)
            return replace(summary, elapsed_s=report.elapsed_s, empty_input=redacted(config.input))


@contextmanager
def _advising(overwrites: bool) -> Iterator[None]:
    """Errors inside the block do not advise to repeat --overwrite, which would delete what is committed."""
    try:
        yield
    except SamLabelError as error:
        if overwrites:
            error.args = (str(error).replace(GO_ON, GO_ON.replace("again", "again without --overwrite")),)
        raise


def _run(
    config: RunConfig,
    progress: Callable[[RunProgress], None],
    load: LoadGenerator,
    on_step: Steps,
    report: RunReport,
) -> RunSummary:
    started = time.monotonic()
    weights = weights_of(config)
    identity = Identity.of(weights.model_type, weights.sha256, config.mask, config.reading)
    source, store = Source.of(config), Store.at(config.output, config.output_access)
    source.on_step = on_step
    source.refuse_overlap(store.location)
    report.output = store.url
    dataset = dataset_to_go_on_with(config, store, identity, source.location)
    if dataset is None or config.refresh:
        if config.refresh and source.image_list is not None:
            _log.warning("a list does not say which images have changed: only new images are added")
        source.require_images()
    elif dataset.is_complete:
        return summary_of(dataset, "", None, time.monotonic() - started)
    pool = None
    refuse_what_does_not_fit(config)
    try:
        with (
            sigterm_interrupts(),
            open_output(
                store,
                identity,
                _listing(source),
                refresh=config.refresh,
                overwrite=config.overwrite,
                settings=config.recorded(),
                report=report,
            ) as output,
            _advising(config.overwrite),
        ):
            if output.dataset.left:
                with ray_session(config) as pool:
                    if pool.device == "cpu":
                        _warn_of_slow_labelling(config.mask.precision)
                    report.device, report.labelers = pool.device, pool.workers
                    labelling = _Labelling(config, output, source.root, weights, pool, load, report)
                    labelling.label_the_rest(progress)
    except KeyboardInterrupt:
        raise Interrupted(INTERRUPTED) from None
    summary = summary_of(output.dataset.again(), output.run, pool, time.monotonic() - started)
    return replace(
        summary,
        skipped_files=source.skipped_files,
        skipped_links=source.skipped_links,
        repeated=source.repeated,
        skipped_parts=source.left_out.others,
        damages=source.left_out.damages,
    )


def _listing(source: Source) -> Listing:
    """The images of the source, as a dataset lists them."""
    options = source.options.of_listing()
    return Listing(str(source.location), source.rows, source.duplicates, options, on_step=source.on_step)


def _warn_of_slow_labelling(precision: str) -> None:
    """Says why a CPU takes longer than it could."""
    if precision != "float32":
        _log.warning(FOR_GPUS, precision)
    elif built.is_missing():
        _log.warning(built.NOT_BUILT)


@dataclass(frozen=True)
class _Labelling:
    """The labelling of the images that have no row yet."""

    config: RunConfig
    output: OutputRun
    root: str | None
    weights: Weights
    pool: LabelerPool
    load: LoadGenerator
    report: RunReport

    @property
    def images(self) -> int:
        """How many images this run labels."""
        left = self.output.dataset.left
        return min(left, self.config.limit or left)

    def label_the_rest(self, progress: Callable[[RunProgress], None]) -> None:
        """Labels the images under supervision, and checks that each has one row."""
        # On the driver's machine, so that it ends with the run and not before. If only the ledger dies, Ray
        # restarts it empty, and an image that kills labelers gets more attempts.
        ledger = lasting_here(AttemptLedger)(self.pool.workers)
        self.report.images = self.images
        metrics = RunMetrics(self.report)

        def on_tick(tally: Tally) -> None:
            self.report.count(tally.labelled, tally.failed_by_reason, tally.masks)
            self.report.work = tally.work
            metrics.show(is_last=self.report.left == 0)
            progress(RunProgress(tally.labelled, tally.failed, self.images))
            self.output.check()

        supervised(
            lambda: self.label_images(ledger),
            ledger,
            self.images,
            self.config.output,
            self.config.most_failures(self.images),
            on_tick,
        )
        left_over = self.output.dataset.again().left - (self.output.dataset.left - self.images)
        # no known fault leads here; an unknown one must not look like success
        if left_over > 0:
            raise SamLabelError(
                f"{left_over} images have no row, although nothing failed; run again to label them"
            )
        if left_over < 0:
            raise SamLabelError(
                f"there are {-left_over} more rows than images; `sam-label validate` names them, and "
                "--overwrite starts over"
            )

    def label_images(self, ledger: LedgerHandle) -> None:
        """The whole pipeline: reads pending manifest rows, fetches, labels, and writes committed shards."""
        config, pool = self.config, self.pool
        settings = LabelerSettings.of(config, self.weights, pool)
        published = Published(self.report.output, self.report.run)
        pending = self.output.dataset.pending_parts()
        images_in_block = config.images_per_block or pool.images_in_block(
            self.images,
            mean_size(self.output.store, pending, partial(stated_sizes, access=config.access)),
            are_frames=config.frames != "first",
        )
        parts = [asdict(part) for part in pending]
        level = logging.getLogger("sam_label").getEffectiveLevel()
        driver_node, logged = DriverNode.here(ledger, level), partial(logged_to, ledger, level)
        (
            ray.data.from_items(parts, override_num_blocks=len(parts))
            .map_batches(
                partial(pending_images, store=self.output.store, driver_node=driver_node, logged=logged),
                batch_size=1,
                batch_format="pyarrow",
                **LIGHT,
            )
            .limit(self.images)
            .repartition(target_num_rows_per_block=images_in_block)
            .map_batches(
                partial(
                    fetched_block, settings=self._fetch_settings(), driver_node=driver_node, logged=logged
                ),
                batch_size=None,
                batch_format="pyarrow",
                **LIGHT,
            )
            .map_batches(
                Labeler,
                fn_constructor_args=(settings, self.load, ledger, logged, published),
                batch_size=images_in_block,
                batch_format="pyarrow",
                compute=pool.strategy,
                num_cpus=pool.cpus,
                num_gpus=pool.gpus,
            )
            .write_datasink(
                replace(
                    self.output.sink(self.images),
                    logged=logged,
                    done=driver_node.done_here_or_there,
                    add_work=partial(add_work, ledger),
                ),
                ray_remote_args=LIGHT,
            )
        )

    def _fetch_settings(self) -> FetchSettings:
        return FetchSettings(
            self.root,
            self.config.access,
            self.config.max_image_pixels,
            in_tiles=bool(self.config.mask.tile_size),
        )
