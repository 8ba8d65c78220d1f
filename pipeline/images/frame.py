"""Which frame of its file an image is: `scan.tif#frame=3` is the fourth page, counted from 0."""

from pipeline.containers.part import FRAME, part_uri

MOST_FRAMES = 100_000  # frames of one file that are labelled


def frame_uri(uri: str, frame: int) -> str:
    """The uri of one frame of the file."""
    return part_uri(uri, f"frame={frame}")


def frame_of(uri: str) -> int | None:
    """The frame that a uri ends with; None if it names the whole file."""
    match = FRAME.match(uri)
    return int(match["frame"]) if match else None


def without_frame(uri: str) -> str:
    """The uri of the file that the frame is in."""
    match = FRAME.match(uri)
    return match["whole"] if match else uri
