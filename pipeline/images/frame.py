"""Which frame of its file an image is: `scan.tif#frame=3` is the fourth page, counted from 0."""

import re

_FRAME = re.compile(r"^(?P<whole>.+)#frame=(?P<frame>\d{1,9})$", re.DOTALL)
MOST_FRAMES = 100_000  # of one file that are labelled


def frame_uri(uri: str, frame: int) -> str:
    """The uri of one frame of the file."""
    return f"{uri}#frame={frame}"


def frame_of(uri: str) -> int | None:
    """The frame that a uri ends with; None if it names the whole file."""
    match = _FRAME.match(uri)
    return int(match["frame"]) if match else None


def without_frame(uri: str) -> str:
    """The uri of the file that the frame is in."""
    match = _FRAME.match(uri)
    return match["whole"] if match else uri
