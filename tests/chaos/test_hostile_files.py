"""Damaged files through the decoders: each is an image or fails for one reason; no decoder dies or hangs."""

from hostile_files import hostile_files, sound_files

from pipeline.errors import ImageError, Reason
from pipeline.images.decode_pool import DecodeLimits, DecodePool

MUTANTS = 500
LIMITS = DecodeLimits(max_pixels=4_000_000, timeout_s=10)


def outcomes(files: "list[tuple[str, bytes]]") -> dict[str, str]:
    """For each file name "ok" or the reason: WORKER_CRASH if a decoder died, DECODE_TIMEOUT if one hung."""
    pool = DecodePool(1, LIMITS)
    by_name = {}
    for name, data in files:
        try:
            image_HW3 = pool.decode(data).image_HW3
            by_name[name] = "ok" if image_HW3.ndim == 3 and image_HW3.size else "empty"
        except ImageError as fault:
            by_name[name] = fault.reason.value
    pool.close()
    return by_name


def test_sound_files_are_all_images() -> None:
    assert set(outcomes(list(sound_files())).values()) == {"ok"}


def test_damaged_files_are_images_or_have_a_reason() -> None:
    by_name = outcomes(list(hostile_files(MUTANTS)))
    allowed = {"ok", *(reason.value for reason in Reason)} - {"UNKNOWN", "WORKER_CRASH", "DECODE_TIMEOUT"}
    assert len(by_name) == MUTANTS
    assert {name: outcome for name, outcome in by_name.items() if outcome not in allowed} == {}
