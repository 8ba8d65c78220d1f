"""The pool of decoders against decoders that die, hang and lie; each in a real process."""

import io
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ImageError, Reason, SamLabelError
from pipeline.images.decode import decoded_image
from pipeline.images.decode_pool import DecodeLimits, DecodePool

LIMITS = DecodeLimits(max_pixels=1_000_000, timeout_s=20)


def png(size: int = 32) -> bytes:
    file = io.BytesIO()
    image_HW3 = np.random.default_rng(size).integers(0, 256, (size, size, 3), np.uint8)
    Image.fromarray(image_HW3).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def poisonable() -> Iterator[DecodePool]:
    pool = DecodePool(1, DecodeLimits(LIMITS.max_pixels, timeout_s=2), "poisoned_decode_child")
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(2, LIMITS)
    yield pool
    pool.close()


def reason_of(pool: DecodePool, data: bytes) -> tuple[Reason, str]:
    with pytest.raises(ImageError) as caught:
        pool.decode(data)
    return caught.value.reason, str(caught.value)


def test_it_decodes_as_the_plain_function_does(pool: DecodePool) -> None:
    plain = decoded_image(png(500), LIMITS.max_pixels)
    pooled = pool.decode(png(500))
    np.testing.assert_array_equal(pooled.image_HW3, plain.image_HW3)
    assert (pooled.exif_orientation, pooled.frames) == (1, 1)


def test_reasons_cross_the_pipe(pool: DecodePool) -> None:
    assert reason_of(pool, b"") == (Reason.EMPTY, "the file has 0 bytes")
    assert reason_of(pool, b"hello")[0] is Reason.NOT_AN_IMAGE


def test_many_threads_share_it(pool: DecodePool) -> None:
    images = [png(size) for size in range(1, 40)]
    with ThreadPoolExecutor(4) as threads:
        shapes = [decoded.image_HW3.shape for decoded in threads.map(pool.decode, images)]
    assert shapes == [(size, size, 3) for size in range(1, 40)]


@pytest.mark.parametrize(
    ("kind", "last_words"),
    [("segfault", "SIGSEGV"), ("abort", "SIGABRT"), ("exit", "exit code 3"), ("liar", "")],
)
def test_an_image_that_kills_its_decoder_is_given_up(
    poisonable: DecodePool, kind: str, last_words: str
) -> None:
    reason, message = reason_of(poisonable, f"poison:{kind}:".encode())
    assert reason is Reason.WORKER_CRASH
    assert "3 times" in message
    assert last_words in message
    assert poisonable.decode(png()).image_HW3.shape == (32, 32, 3), "its neighbour is unharmed"


def test_a_decoder_that_does_not_start_is_no_fault_of_the_image() -> None:
    with pytest.raises(SamLabelError, match="did not start"):
        DecodePool(1, LIMITS, "no_such_program").decode(png())


def test_the_time_a_decoder_takes_to_start_is_not_the_images() -> None:
    hasty = DecodePool(1, DecodeLimits(LIMITS.max_pixels, timeout_s=2), "slow_decode_child")
    assert hasty.decode(png(8)).image_HW3.shape == (8, 8, 3)
    hasty.close()


def test_an_image_that_hangs_is_given_up_at_the_deadline(poisonable: DecodePool) -> None:
    assert reason_of(poisonable, b"poison:loop:")[0] is Reason.DECODE_TIMEOUT
    assert poisonable.decode(png()).image_HW3.shape == (32, 32, 3)


def test_an_image_that_eats_memory_is_stopped_by_the_limit(poisonable: DecodePool) -> None:
    assert reason_of(poisonable, b"poison:memory:")[0] is Reason.TOO_LARGE
    assert poisonable.decode(png()).image_HW3.shape == (32, 32, 3)


def test_a_decoder_that_was_killed_between_two_images_is_replaced(pool: DecodePool) -> None:
    pool.decode(png())
    for child in Path("/proc/self/task").glob("*/children"):
        for pid in child.read_text().split():
            if b"pipeline.images.decode_child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)
    assert pool.decode(png()).image_HW3.shape == (32, 32, 3)


def test_decoders_hold_no_credentials(pool: DecodePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    own = DecodePool(1, LIMITS)
    own.decode(png())
    environments = [
        Path(f"/proc/{pid}/environ").read_bytes()
        for child in Path("/proc/self/task").glob("*/children")
        for pid in child.read_text().split()
        if b"pipeline.images.decode_child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    own.close()
    assert environments
    assert not any(b"hunter2" in environment for environment in environments)
