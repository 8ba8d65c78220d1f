"""The process in which hostile bytes are decoded: it holds no credentials and little memory, and may die.

It communicates over its standard input and output, one image at a time. A request is `REQUEST` and the
encoded bytes. An answer is `ANSWER` with the request's number, a JSON object, and, for an image, its pixels.
The process ends when its input does.
"""

import contextlib
import json
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images.decode import DecodedImage, decoded_image
from pipeline.pixel_reading import PixelReading

# Its number, bytes that follow, most pixels, deadline in seconds, and JSON: a PixelReading and the frame.
REQUEST = struct.Struct("<QQQd256s")
READY = b"r"  # the first byte out: from here on the deadline is for images, not for imports
ANSWER = struct.Struct("<QQ")  # the request's number, bytes of JSON that follow

# The fields of a decoded image besides its pixels.
FACTS = ("exif_orientation", "frames", "pixel_scale", "pixel_range", "bands", "geo_transform", "crs")

Decode = Callable[[bytes, int, PixelReading, int | None], DecodedImage]


def serve(requests: BinaryIO, answers: BinaryIO, decode: Decode = decoded_image) -> None:
    """Says that it is ready, then answers decode requests until there are no more."""
    warnings.simplefilter("ignore")  # of metadata: a fault in the pixels is an ImageError
    Image.init()  # all of Pillow's plugins, which it would import at the first image
    answers.write(READY)
    answers.flush()
    while header := requests.read(REQUEST.size):
        number, size, max_pixels, deadline_s, how = REQUEST.unpack(header)
        data = requests.read(size)
        # The parent has its own clock; this alarm, which ends the process, is for a parent that died.
        signal.setitimer(signal.ITIMER_REAL, deadline_s + 1)
        try:
            decoded = decode(data, max_pixels, *_how(how))
        except ImageError as fault:
            _answer(answers, number, {"reason": fault.reason.value, "message": str(fault)})
        except MemoryError:
            message = (
                "decoding it needs more memory than a decoder may use; raise max_image_pixels, which raises "
                "that limit too, or save it in another format"
            )
            _answer(answers, number, {"reason": Reason.TOO_LARGE.value, "message": message})
        else:
            height, width, _ = decoded.image_HW3.shape
            facts = {name: getattr(decoded, name) for name in FACTS}
            _answer(answers, number, {"height": height, "width": width, **facts})
            answers.write(np.ascontiguousarray(decoded.image_HW3).data)
        answers.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)


def encoded_how(reading: PixelReading, frame: int | None) -> bytes:
    """How to read an image, encoded for a request."""
    return json.dumps({"frame": frame, **reading.as_json()}).encode()


def _how(encoded: bytes) -> tuple[PixelReading, int | None]:
    fields = json.loads(encoded.rstrip(b"\0"))
    return PixelReading.from_json(fields), fields["frame"]


def give_up_powers(memory_bytes: int) -> None:
    """Limits this process for good: its memory, and neither written files nor core dumps."""
    with contextlib.suppress(ValueError):  # macOS has no such limit, and elsewhere a lower one stays
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(answers: BinaryIO, number: int, facts: dict[str, object]) -> None:
    encoded = json.dumps(facts).encode()
    answers.write(ANSWER.pack(number, len(encoded)) + encoded)


if __name__ == "__main__":
    give_up_powers(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer)
