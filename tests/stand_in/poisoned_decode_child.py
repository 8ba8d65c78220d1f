"""A decode child that fails in the way its input names, as hostile files make a decoder fail."""

import os
import signal
import sys

from pipeline.images.decode import DecodedImage, decoded_image
from pipeline.images.decode_child import ANSWER, give_up_powers, serve
from pipeline.pixel_reading import PixelReading

HEADER = ANSWER.pack(1, 2)


def framed(facts: bytes, pixels: bytes = b"") -> bytes:
    """A complete answer to the first request."""
    return ANSWER.pack(1, len(facts)) + facts + pixels


FACTS = b'{"height": 2, "width": 2, "exif_orientation": 1, "frames": 1, "pixel_scale": null, '
FACTS += b'"pixel_range": null, "bands": null, "geo_transform": null, "crs": null}'
NONSENSE = {
    "without end": b"\xff" * 16,
    "short header": HEADER[:5],
    "another image": ANSWER.pack(7, 2) + b"{}",
    "no JSON": framed(b"garbage"),
    "half of the pixels": framed(FACTS, bytes(6)),
    "more pixels than said": framed(FACTS, bytes(13)),
}


def _answer_nonsense(data: bytes) -> None:
    """Writes the nonsense that the input names; then ends or waits for the next image, as the input says."""
    _, _, name, after = data.decode().split(":")
    os.write(1, NONSENSE[name])
    if after == "ends":
        os._exit(0)
    os.read(0, 1)


def poisoned_decode(data: bytes, max_pixels: int, reading: PixelReading, frame: int | None) -> DecodedImage:
    if data.startswith(b"poison:"):
        _, kind, *_ = data.split(b":")
        match kind:
            case b"segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case b"abort":
                os.abort()
            case b"loop":
                while True:
                    pass
            case b"exit":
                os._exit(3)
            case b"closes":
                os.close(1)
                os.read(0, 1)  # and stays alive
            case b"memory":
                bytearray(8 << 30)
            case b"nonsense":  # like a decoder that was taken over or is out of step
                _answer_nonsense(data)
    return decoded_image(data, max_pixels, reading, frame)


if __name__ == "__main__":
    give_up_powers(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer, poisoned_decode)
