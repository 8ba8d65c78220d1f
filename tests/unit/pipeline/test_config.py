"""RunConfig: every option has a help text, and wrong values are refused before any work."""

import pytest
from pydantic import ValidationError

from pipeline.config import RunConfig


def config(**options: object) -> RunConfig:
    return RunConfig.model_validate({"input": "photos", "output": "out", **options})


def test_every_field_has_help_text() -> None:
    assert [name for name, field in RunConfig.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("limit", "images", "expected"),
    [(None, 10, None), ("3", 10, 3), ("5%", 200, 10), ("0%", 10, 0), ("0", 10, 0)],
)
def test_most_failures(limit: str | None, images: int, expected: int | None) -> None:
    assert config(max_failures=limit).most_failures(images) == expected


@pytest.mark.parametrize("limit", ["-1", "many", "101%", "5 %", ""])
def test_a_failure_limit_that_means_nothing_is_refused(limit: str) -> None:
    with pytest.raises(ValidationError, match="neither a number of images"):
        config(max_failures=limit)


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"limit": 0}, {"model": "vit_x"}, {"device": "tpu"}, {"ouput": "x"}, {"input": ""}],
)
def test_other_nonsense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config(**options)


def test_a_path_that_is_not_utf_8_becomes_a_url() -> None:
    places = config(input="/photos/caf\udce9", output="/masks/caf\udce9")
    assert (places.input, places.output) == (
        "file://localhost/photos/caf%E9",
        "file://localhost/masks/caf%E9",
    )


def test_it_is_a_value() -> None:
    with pytest.raises(ValidationError):
        config().workers = 3  # type: ignore[misc]


def test_what_the_output_keeps_holds_no_secret() -> None:
    kept = config(checkpoint="https://me:pw@host/w.pth?X-Amz-Signature=abc&size=1", workers=2).recorded()
    assert kept["checkpoint"] == "https://***host/w.pth?***&size=1"
    assert kept["workers"] == 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("full", "full"),
        ("auto", "auto"),
        ("0:4095", "0:4095"),
        ("0.0:4095.", "0:4095"),
        ("-1.50:+2e3", "-1.5:2000"),
        (".5:1", "0.5:1"),
        ("percentile", "percentile:2:98"),
        ("percentile:1.0:99.50", "percentile:1:99.5"),
        ("-0:1", "0:1"),
        ("percentile:-0:99", "percentile:0:99"),
    ],
)
def test_equal_scales_are_one_text(text: str, kept: str) -> None:
    assert config(scale=text).scale == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "half",
        "5",
        "5:",
        "9:1",
        "1:1",
        "nan:1",
        "0:inf",
        "0:4095:1",
        "FULL",
        "percentile:98:2",
        "percentile:1:101",
        f"0:{'9' * 400}",
        f"-{'9' * 308}:{'9' * 308}",
    ],
)
def test_a_scale_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"neither full, auto, percentile|no range|0 to 100|too far"):
        config(scale=text)


def test_bands_and_frames_have_one_text() -> None:
    asked = config(bands=" 4, 3,02", frames="every:10", nodata=-9999)
    assert (asked.bands, asked.frames) == ("4,3,2", "every 10")
    assert (asked.reading.bands, asked.reading.nodata) == ((4, 3, 2), -9999)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bands": "1,2"},
        {"bands": "0"},
        {"bands": "red"},
        {"frames": "every 0"},
        {"frames": "2"},
        {"nodata": "nan"},
    ],
    ids=str,
)
def test_bands_frames_and_nodata_that_mean_nothing_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"neither|finite"):
        config(**wrong)
