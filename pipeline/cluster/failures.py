"""When failed images end a run: too many of them, or so many of one kind that the rest would fail as well."""

from pipeline.cluster.attempts import Tally
from pipeline.errors import Reason, StoreError, TooManyFailures

FEWEST_TO_JUDGE = 20  # images; with fewer, one bad folder at the start could end a good run
# Causes that rarely lie in an image: the store, the mount of the input folder, the decoder's environment,
# the labeler. If most images fail for one of these, the rest would fail too.
COMMON_CAUSES = (
    Reason.FORBIDDEN,
    Reason.SOURCE_UNAVAILABLE,
    Reason.SOURCE_MISSING,
    Reason.OUTSIDE_ROOT,
    Reason.DECODE_TIMEOUT,
    Reason.WORKER_CRASH,
    Reason.LABELER_ERROR,
    Reason.GPU_OOM,
)


def refuse_failures(tally: Tally, images: int, output: str, most_failures: int | None) -> None:
    """Raises TooManyFailures, or StoreError for a store that is gone; advice names `output`.

    `images` is how many the whole run labels; fewer than FEWEST_TO_JUDGE are judged when all are finished.
    """
    if most_failures is not None and tally.failed > most_failures:
        raise TooManyFailures(
            f"{tally.failed} images failed, more than the {most_failures} that --max-failures allows"
        )
    if tally.unavailable_in_a_row >= FEWEST_TO_JUDGE:
        raise StoreError(
            Reason.SOURCE_UNAVAILABLE,
            f"the store of the input delivered none of the last {tally.unavailable_in_a_row} images; when "
            f"it works again, queue them with `sam-label retry {output} --error SOURCE_UNAVAILABLE` and run "
            "again",
        )
    finished = tally.labelled + tally.failed
    for reason in COMMON_CAUSES:
        count = tally.failed_by_reason.get(reason, 0)
        are_most = finished >= FEWEST_TO_JUDGE and count > finished / 2
        if are_most or (count == finished >= images > 0):
            which = f"the first {finished}" if finished < images else f"{images}"
            raise TooManyFailures(
                f"{count} of {which} images failed with {reason}, which is rarely the fault of the images; "
                "read their messages, fix the cause, and continue with "
                f"`sam-label retry {output} --error {reason}`"
            )
