"""A decode child that sends extra bytes after its answer, before it reads the next image."""

import sys
from typing import BinaryIO

from pipeline.images.decode_child import REQUEST, serve


class Surplus:
    """Standard input that writes surplus bytes at every request except the first."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests, self._answers = requests, answers
        self._count = 0

    def read(self, size: int) -> bytes:
        data = self._requests.read(size)
        if size == REQUEST.size and data:
            self._count += 1
            if self._count > 1:
                self._answers.write(b"surplus")
        return data


if __name__ == "__main__":
    serve(Surplus(sys.stdin.buffer, sys.stdout.buffer), sys.stdout.buffer)  # type: ignore[arg-type]
