"""A decode child that does to itself what its input says: what hostile files do to a decoder, on purpose."""

import os
import signal
import sys

from pipeline.images.decode import DecodedImage, decoded_image
from pipeline.images.decode_child import give_up_powers, serve


def poisoned_decode(data: bytes, max_pixels: int, scale: str) -> DecodedImage:
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
            case b"memory":
                bytearray(8 << 30)
            case b"liar":  # a decoder that was taken over and claims an image without end
                os.write(1, b"\xff" * 8)
                os._exit(0)
    return decoded_image(data, max_pixels, scale)


if __name__ == "__main__":
    give_up_powers(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer, poisoned_decode)
