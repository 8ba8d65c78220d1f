"""Decoding that survives hostile files: a child process from a pool decodes each image before a deadline.

A decoder that hangs is killed at the deadline. One that dies, or gives an answer that makes no sense, is
replaced and the image is tried again; after three decoders the image is given up. Children are plain
subprocesses connected by pipes: their environment holds the import path and no secrets, and pixels cross a
pipe in about a millisecond a megapixel.
"""

import contextlib
import fcntl
import json
import math
import os
import queue
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np

from pipeline.errors import ImageError, Reason, SamLabelError
from pipeline.images.decode import DecodedImage
from pipeline.images.decode_child import ANSWER, FACTS, READY, REQUEST, encoded_how
from pipeline.pixel_reading import AS_STORED, PixelReading

MOST_ATTEMPTS = 3
START_S = 120.0  # to import NumPy and Pillow from a slow network disk while many labelers start
END_S = 5.0  # for a child to exit after it has closed its pipe, which takes milliseconds as a rule
# 16-bit RGB as bytes, as samples and as RGB, with a copy of each, all in memory at once. OpenJPEG needs 20
# for RGB and 25 for RGBA, libheif 12 and for deep samples 22; BASE_BYTES has room for the rest and the file.
BYTES_A_PIXEL = 24
MOST_FACT_BYTES = 1 << 20  # of JSON: a message may quote text from the file
PIPE_BYTES = 1 << 20  # the most an ordinary Linux user may ask for
REASONS_OF_A_DECODER = frozenset(
    {
        Reason.EMPTY,
        Reason.NOT_AN_IMAGE,
        Reason.UNSUPPORTED,
        Reason.TOO_LARGE,
        Reason.TRUNCATED,
        Reason.CORRUPT,
    }
)
BASE_BYTES = 1 << 30  # Python, NumPy and Pillow reserve about half of this before the first image


class DecoderDiedError(Exception):
    """The child process ended while it decoded, or was ended because it answered nonsense."""


class NoDecoder(SamLabelError):
    """No decoder starts on this machine, which is no image's fault."""


@dataclass(frozen=True)
class DecodeLimits:
    """What decoding one image may cost, and how its samples are read."""

    max_pixels: int
    timeout_s: float
    reading: PixelReading = AS_STORED

    @property
    def memory_bytes(self) -> int:
        """Address space of one decoder."""
        return BASE_BYTES + BYTES_A_PIXEL * self.max_pixels


class DecodePool:
    """Decoders, started when first needed; threads wait for their turn if all decoders are busy."""

    def __init__(
        self, size: int, limits: DecodeLimits, program: str = "pipeline.images.decode_child"
    ) -> None:
        self.size = size
        self._limits = limits
        self._program = program
        self._idle: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()  # the last used one comes first
        for _ in range(size):
            self._idle.put(None)

    def start(self) -> None:
        """Starts all decoders without waiting, so that they are ready for the first images."""
        waiting = [self._idle.get() for _ in range(self.size)]
        for decoder in waiting:
            with contextlib.suppress(OSError):  # whoever needs it tries again
                decoder = decoder or self._fresh()
            self._idle.put(decoder)

    def await_start(self) -> None:
        """Returns when a decoder is ready. Raises: NoDecoder."""
        decoder, taken = None, self._idle.get()
        try:
            decoder = self._ready(taken)
        finally:
            self._idle.put(decoder)

    def decode(
        self, data: bytes, frame: int | None = None, reading: PixelReading | None = None
    ) -> DecodedImage:
        """The image in `data`, or its frame of that number, from 0; `reading` replaces that of the limits.

        Raises: NoDecoder; ImageError, with DECODE_TIMEOUT and WORKER_CRASH besides the reasons of
            `decoded_image`.
        """
        for _ in range(MOST_ATTEMPTS):
            decoder, taken = None, self._idle.get()
            try:
                decoder = self._ready(taken)
                return decoder.decode(data, frame, reading or self._limits.reading)
            except DecoderDiedError as death:
                decoder, last_words = None, str(death)
            except ImageError as fault:
                if fault.reason is Reason.DECODE_TIMEOUT:
                    decoder = None
                raise
            finally:
                self._idle.put(decoder)
        raise ImageError(Reason.WORKER_CRASH, f"its decoder died {MOST_ATTEMPTS} times: {last_words}")

    def _ready(self, decoder: "_Decoder | None") -> "_Decoder":
        """The decoder, once it can decode; another one if it dies while it starts, as for lack of memory."""
        for _ in range(MOST_ATTEMPTS):
            try:
                decoder = decoder or self._fresh()
                decoder.await_start()
            except (DecoderDiedError, OSError) as fault:  # OSError: the system has no room for a process
                decoder, why = None, str(fault)
            else:
                return decoder
        raise NoDecoder(
            f"a decoder did not start on {os.uname().nodename} ({why}); `{sys.executable} -m {self._program} "
            f"{self._limits.memory_bytes} < /dev/null` there may say more"
        )

    def _fresh(self) -> "_Decoder":
        return _Decoder(self._program, self._limits)

    def close(self) -> None:
        """Ends all idle decoders."""
        for _ in range(self.size):
            decoder = self._idle.get()
            if decoder is not None:
                decoder.kill()
            self._idle.put(None)


@dataclass(frozen=True)
class AnswerFacts:
    """What a decoder sends about an image before its pixels."""

    height: int
    width: int
    others: dict[str, Any]  # the fields of DecodedImage besides its pixels

    @property
    def pixel_bytes(self) -> int:
        return 3 * self.height * self.width


def checked_facts(answer: bytes) -> AnswerFacts | ImageError:
    """A decoder's answer, checked. Raises: ValueError, LookupError, TypeError or RecursionError."""
    facts = json.loads(answer)
    if "reason" in facts:
        if facts["reason"] not in REASONS_OF_A_DECODER:
            raise ValueError("a reason that is no decoder's")
        return ImageError(Reason(facts["reason"]), str(facts["message"]))
    numbers = [facts[name] for name in ("height", "width", "exif_orientation", "frames")]
    if not all(type(number) is int and number > 0 for number in numbers) or facts["exif_orientation"] > 8:
        raise ValueError("an invalid size, orientation or count")
    texts = ("pixel_scale", "pixel_range", "bands", "crs")
    if not all(isinstance(facts[name], str | None) for name in texts):
        raise ValueError("a range, bands or a coordinate system that is no text")
    others = {name: facts[name] for name in FACTS}
    if others["geo_transform"] is not None:
        others["geo_transform"] = tuple(map(float, others["geo_transform"]))
        if len(others["geo_transform"]) != 6 or not all(map(math.isfinite, others["geo_transform"])):
            raise ValueError("an invalid transform")
    return AnswerFacts(facts["height"], facts["width"], others)


class _Decoder:
    """One child process."""

    def __init__(self, program: str, limits: DecodeLimits) -> None:
        self._program, self._limits = program, limits
        self._number = 0  # of the last request
        self._process = subprocess.Popen(  # noqa: S603  # our own module, no shell
            [sys.executable, "-P", "-m", program, str(limits.memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a dying libjpeg's complaints
            cwd=os.sep,  # nothing is imported from the parent's working directory, nor found there
            env={
                "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path)),
                "PYTHONSAFEPATH": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
            start_new_session=True,  # Ctrl-C is for the parent, which ends its decoders itself
        )
        self._requests = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        self._poll = select.poll()  # not select(), which ends at file descriptor 1024
        self._poll.register(self._answers, select.POLLIN)
        self._is_ready = False

    def await_start(self) -> None:
        """Returns when the child can decode. Raises: DecoderDiedError if it dies or takes too long."""
        if self._is_ready:
            return
        if not self._poll.poll(START_S * 1000):
            self.kill()
            raise DecoderDiedError(f"not ready after {START_S:g} s")
        if os.read(self._answers.fileno(), len(READY)) != READY:
            why = self._cause_of_death()
            self.kill()
            raise DecoderDiedError(why)
        self._is_ready = True
        with contextlib.suppress(OSError, AttributeError):  # faster where the system allows it
            fcntl.fcntl(self._answers.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def decode(self, data: bytes, frame: int | None, reading: PixelReading) -> DecodedImage:
        """The image, decoded by this child, which has to be ready."""
        limits, deadline = self._limits, time.monotonic() + self._limits.timeout_s
        self._number += 1
        how = encoded_how(reading, frame)
        request = REQUEST.pack(self._number, len(data), limits.max_pixels, limits.timeout_s, how)
        try:
            # The child reads the whole request before it decodes, so this write ends before decoding.
            self._requests.write(request + data)
            self._requests.flush()
            number, size = ANSWER.unpack(self._received(ANSWER.size, MOST_FACT_BYTES, deadline).data)
            if number != self._number:  # the rest of an answer that was longer than announced
                raise self._nonsense()
            answer = self._received(size, MOST_FACT_BYTES, deadline).tobytes()
            try:
                facts = checked_facts(answer)
            except (ValueError, LookupError, TypeError, RecursionError) as fault:
                raise self._nonsense() from fault
            if isinstance(facts, ImageError):
                raise facts
            pixels = self._received(facts.pixel_bytes, 3 * limits.max_pixels, deadline)
        except BrokenPipeError as broken:
            raise DecoderDiedError(self._cause_of_death()) from broken
        if self._poll.poll(0):  # it sends more than it announced
            raise self._nonsense()
        return DecodedImage(pixels.reshape(facts.height, facts.width, 3), **facts.others)

    def _received(self, size: int, most: int, deadline: float) -> np.ndarray:
        """The next `size` bytes of the child's answer; `size` may be at most `most`; uint8 [size]."""
        if not 0 <= size <= most:
            raise self._nonsense()
        received = np.empty(size, np.uint8)
        rest = received.data
        while rest:
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self.kill()
                raise ImageError(
                    Reason.DECODE_TIMEOUT,
                    f"not decoded after {self._limits.timeout_s:g} s; see decode_timeout_s",
                )
            count = os.readv(self._answers.fileno(), [rest])
            if count == 0:
                raise DecoderDiedError(self._cause_of_death())
            rest = rest[count:]
        return received

    def _nonsense(self) -> DecoderDiedError:
        """Kills a decoder that cannot be trusted any more; returns the error to raise."""
        self.kill()
        return DecoderDiedError("its answer was invalid")

    def _cause_of_death(self) -> str:
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it closed its pipe but kept running"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # what was not yet sent cannot be flushed any more
                pipe.close()
