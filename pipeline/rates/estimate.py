"""Estimates the time and the disk space that a whole input takes, from the rates of a sample."""

from dataclasses import dataclass

from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.cluster.start import local_pool
from pipeline.config import RunConfig
from pipeline.inputs.sample import Sample, sampled
from pipeline.inputs.source import Source
from pipeline.metrics.work import Stage
from pipeline.rates.rates import Rates, measured


@dataclass(frozen=True)
class Estimate:
    """A run over the whole input, by labelers like the measured one that work side by side."""

    sample: Sample
    rates: Rates
    pool: LabelerPool

    @property
    def seconds_an_image(self) -> float:
        """Of one labeler. With a GPU, CPU cores decode meanwhile; a CPU labeler's cores do everything."""
        stages = {stage: self.rates.an_image(total) for stage, total in self.rates.seconds.items()}
        if self.pool.gpus:
            return max(stages[Stage.LABEL], stages[Stage.DECODE] / self.pool.decoders)
        return stages[Stage.LABEL] + stages[Stage.DECODE] + stages[Stage.WRITE]

    @property
    def images_per_s(self) -> float:
        """Of all labelers; 0 if no image of the sample could be labelled."""
        return self.pool.workers / self.seconds_an_image if self.rates.images else 0.0

    @property
    def hours(self) -> float:
        """From the first image to the last, without the start-up."""
        return self.sample.images / self.images_per_s / 3600 if self.images_per_s else 0.0

    @property
    def gpu_hours(self) -> float:
        return self.hours * self.pool.workers * self.pool.gpus

    @property
    def output_bytes(self) -> float:
        return self.rates.an_image(self.rates.output_bytes) * self.sample.images


def estimate(config: RunConfig, images: int, seed: int) -> Estimate:
    """The estimate for `config.input`, from at most `images` of its images; writes nothing there.

    Raises: UsageError, SamLabelError.
    """
    source = Source.of(config)
    pool = local_pool(config)
    sample = sampled(source.unique_rows(), images, seed)
    return Estimate(sample, measured(config, source, sample.rows, pool), pool)
