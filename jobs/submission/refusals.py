"""Refuses to schedule a job file that would fail, or lose its work, each time that it runs."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.store.uri import location

PODS = ("kubernetes", "rayjob")
WITH_GPUS = (*PODS, "slurm")  # the targets that use --gpus
BUNDLED = (None, "vit_t")
WEIGHTS = "/weights"  # where the image keeps weights (infra/Dockerfile), and where a claim is mounted
_PART = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_NAME = re.compile(rf"{_PART}(\.{_PART})*")  # of Kubernetes' objects
MOST_OF_A_CLAIM = 253


@dataclass(frozen=True)
class Asked:
    """A job file, and the options of the schedule that decide whether it can run there."""

    config: RunConfig
    target: str
    gpus: int = 0
    weights_claim: str | None = None


def refuse_what_cannot_run(asked: Asked) -> None:
    """Raises UsageError for the first of the faults."""
    for targets, is_so, sentence in _faults(asked):
        if is_so and asked.target in targets:
            raise UsageError(sentence)


def _faults(asked: Asked) -> Iterator[tuple[tuple[str, ...], bool, str]]:
    """Each fault: the targets that have it, whether it is there, and what to say."""
    config, claim = asked.config, asked.weights_claim
    yield (
        (asked.target,),  # whichever it is
        config.overwrite,
        "overwrite is on: each run and each retry would delete what was committed before; leave it out, and "
        "to start over name another output, such as one with ${DATE}",
    )
    yield (
        WITH_GPUS,
        config.device == "cuda" and not asked.gpus,
        f"device is 'cuda', and --target {asked.target} requests no GPU; give --gpus, or leave device out",
    )
    for name, place in (("input", config.input), ("output", config.output)):
        yield (
            PODS,
            _is_on_a_disk(place),
            f"{name} is {place!r}, on the pod's own disk, which is lost with the pod; give a store's URL, "
            "such as s3://BUCKET/PREFIX",
        )
    weights = config.checkpoint
    yield (
        PODS,
        claim is not None and not (len(claim) <= MOST_OF_A_CLAIM and _NAME.fullmatch(claim)),
        f"--weights-claim is {claim!r}: give the name of a PersistentVolumeClaim, of small letters, digits, "
        "hyphens and dots",
    )
    yield (
        PODS,
        weights is None and config.model not in BUNDLED and claim is None,
        f"model is {config.model!r}, whose weights no pod has; give --weights-claim with a "
        "PersistentVolumeClaim that holds them, or checkpoint with their URL",
    )
    yield (
        PODS,
        _is_on_a_disk(weights) and not (claim and _is_below_weights(str(weights))),
        f"checkpoint is {weights!r}, on a disk that no pod has; give its URL, or a path below {WEIGHTS} and "
        "--weights-claim with a PersistentVolumeClaim that holds it",
    )
    yield (
        PODS,
        claim is not None and weights is not None and not _is_on_a_disk(weights),
        "checkpoint is a URL, which cannot be downloaded into the claim of --weights-claim, because it is "
        f"mounted read-only; leave one of them out, or name a path below {WEIGHTS}",
    )


def _is_below_weights(path: str) -> bool:
    return posixpath.normpath(path).startswith(f"{WEIGHTS}/")


def _is_on_a_disk(place: str | None) -> bool:
    return place is not None and location(place).scheme == "file"
