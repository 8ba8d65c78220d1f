"""The pool with decoders that die, hang and give wrong answers; each in a real process."""

import io
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from poisoned_decode_child import FACTS, NONSENSE

from pipeline.errors import ImageError, Reason
from pipeline.images.decode import decoded_image
from pipeline.images.decode_pool import DecodeLimits, DecodePool, NoDecoder, checked_facts
from pipeline.pixel_reading import PixelReading

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


def children() -> set[int]:
    """The living child processes of this process."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for children in lists for pid in children.read_text().split()}


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
    [("segfault", "SIGSEGV"), ("abort", "SIGABRT"), ("exit", "exit code 3")],
)
def test_an_image_that_kills_its_decoder_is_given_up(
    poisonable: DecodePool, kind: str, last_words: str
) -> None:
    reason, message = reason_of(poisonable, f"poison:{kind}:".encode())
    assert reason is Reason.WORKER_CRASH
    assert "3 times" in message
    assert last_words in message
    assert poisonable.decode(png()).image_HW3.shape == (32, 32, 3), "its neighbour is unharmed"


def test_a_decoder_that_closes_its_pipe_and_lives_on_is_not_waited_for(
    poisonable: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.images.decode_pool.END_S", 0.1)
    reason, message = reason_of(poisonable, b"poison:closes")
    assert (reason, "closed its pipe" in message) == (Reason.WORKER_CRASH, True)


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("after", ["ends", "waits"])
def test_nonsense_costs_its_image_and_its_decoder(name: str, after: str) -> None:
    """A decoder that lives on is not used again either: it would answer the next image with the rest."""
    pool = DecodePool(1, DecodeLimits(LIMITS.max_pixels, timeout_s=0.5), "poisoned_decode_child")
    reason, message = reason_of(pool, f"poison:nonsense:{name}:{after}".encode())
    is_short = name in ("short header", "half of the pixels")
    if is_short and after == "waits":
        assert reason is Reason.DECODE_TIMEOUT
    else:
        assert (reason, "3 times" in message) == (Reason.WORKER_CRASH, True)
    np.testing.assert_array_equal(pool.decode(png()).image_HW3, decoded_image(png(), 1 << 20).image_HW3)
    pool.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"height": -2, "width": -2},
        {"height": 0},
        {"height": 2.5},
        {"height": True},
        {"width": "2"},
        {"width": None},
        {"frames": 0},
        {"exif_orientation": None},
        {"exif_orientation": 9},
        {"pixel_range": 5},
        {"geo_transform": [0, 1, 0, 0, 0]},
        {"geo_transform": [0, 1, 0, 0, 0, float("inf")]},
        {"crs": 4326},
        {"reason": "BORED", "message": "-"},
        {"reason": 7},
        {"reason": "FORBIDDEN", "message": "-"},
        {"reason": "CORRUPT"},
    ],
)
def test_facts_that_make_no_sense(changed: dict[str, object]) -> None:
    sound = json.loads(FACTS)
    assert checked_facts(FACTS).others["frames"] == 1
    with pytest.raises((ValueError, LookupError, TypeError)):
        checked_facts(json.dumps(sound | changed).encode())


@pytest.mark.parametrize("answer", [b"", b"[1]", b"7", b"null", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_answers_that_are_no_facts(answer: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError, RecursionError)):
        checked_facts(answer)


def test_what_a_decoder_adds_after_its_answer_is_no_neighbours() -> None:
    """The extra bytes arrive after the image counts as done."""
    late = DecodePool(1, LIMITS, "late_decode_child")
    for _ in range(3):
        assert late.decode(png(5)).image_HW3.shape == (5, 5, 3)
    late.close()


def test_the_scale_and_its_range_cross_the_pipe() -> None:
    own = DecodePool(1, DecodeLimits(LIMITS.max_pixels, timeout_s=20, reading=PixelReading("100:300")))
    file = io.BytesIO()
    Image.fromarray(np.array([[100, 180, 300, 400]], np.uint16)).save(file, "PNG")
    decoded = own.decode(file.getvalue())
    own.close()
    assert decoded.image_HW3[0, :, 0].tolist() == [0, 102, 255, 255]
    assert (decoded.pixel_scale, decoded.pixel_range) == ("100:300", "100:400")


def test_a_decoder_that_does_not_start_is_no_fault_of_the_image() -> None:
    pool = DecodePool(1, LIMITS, "no_such_program")
    pool.start()
    for _ in range(2):
        with pytest.raises(NoDecoder, match="did not start"):
            pool.decode(png())


def test_a_decoder_that_dies_as_it_starts_is_replaced() -> None:
    own = DecodePool(1, LIMITS)
    before = children()
    own.start()
    (starting,) = children() - before
    os.kill(starting, signal.SIGKILL)  # as an out-of-memory killer does; importing takes it longer
    assert own.decode(png(8)).image_HW3.shape == (8, 8, 3)
    own.close()


def test_a_system_without_room_for_a_process_costs_no_place_in_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = DecodePool(2, LIMITS)

    def fails(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", fails)
        own.start()
        for _ in range(3):
            with pytest.raises(NoDecoder, match=r"did not start on .*Resource temporarily unavailable"):
                own.await_start()
    own.await_start()
    assert own.decode(png(8)).image_HW3.shape == (8, 8, 3)
    own.close()


def test_decoders_that_were_started_before_are_those_that_decode() -> None:
    own = DecodePool(2, LIMITS)
    own.start()
    started = children()
    assert len(started) >= 2
    assert own.decode(png(8)).image_HW3.shape == (8, 8, 3)
    assert children() == started
    own.close()


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
    for pid in children():
        if b"pipeline.images.decode_child" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
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
