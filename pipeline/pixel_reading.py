"""How the samples of a file become 8-bit RGB: the options of a run that decide it, in one value.

It is part of a dataset's identity (output/format/identity.py), and is sent to the decoders.
"""

import math
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?"
PIXEL_SCALE = re.compile(
    rf"full|auto|percentile(:(?P<first>{NUMBER}):(?P<last>{NUMBER}))?|(?P<low>{NUMBER}):(?P<high>{NUMBER})"
)
_BANDS = re.compile(r"\d{1,5}(,\d{1,5},\d{1,5})?")


@dataclass(frozen=True)
class PixelReading:
    """Which bands are shown, which value is no sample, and what becomes black and white."""

    scale: str = "full"  # see pipeline.images.scale
    bands: tuple[int, ...] = ()  # of a TIFF, from 1: three for red, green and blue, or one for grey
    nodata: float | None = None  # besides the value that the file names

    def with_range(self, low_and_high: str) -> "PixelReading":
        """A copy with LO:HI as its scale: the samples that become black and white."""
        return replace(self, scale=low_and_high)

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "PixelReading":
        """The reading that `as_json` made."""
        return cls(fields["scale"], tuple(fields["bands"]), fields["nodata"])


AS_STORED = PixelReading()


def one_text_a_scale(text: str) -> str:
    """The scale in the one spelling that is recorded. Raises: ValueError if the text is no scale."""
    match = PIXEL_SCALE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is neither full, auto, percentile, percentile:1:99 nor two numbers such as 0:4095"
        )
    if text in ("full", "auto"):
        return text
    if match["low"] is None:
        # 2 and 98 as in map viewers
        first, last = float(match["first"] or 2) + 0.0, float(match["last"] or 98)
        if not 0 <= first < last <= 100:
            raise ValueError(f"{text!r} needs two numbers from 0 to 100, the first below the second")
        return f"percentile:{first:g}:{last:g}"
    low, high = float(match["low"]) + 0.0, float(match["high"]) + 0.0  # -0 is 0
    if not low < high:
        raise ValueError(f"{text!r} has no range: its first number must be below its second")
    if math.isinf(high - low):
        raise ValueError("its numbers are too far apart; give two such as 0:4095")
    return f"{low!r}:{high!r}".replace(".0:", ":").removesuffix(".0")


def band_numbers(text: str) -> tuple[int, ...]:
    """The bands of a text such as 4,3,2 or 1. Raises: ValueError unless it has one band or three."""
    numbers = tuple(map(int, text.split(","))) if _BANDS.fullmatch(text) else ()
    if not numbers or min(numbers) < 1:
        raise ValueError(
            f"{text!r} is neither three bands such as 4,3,2 nor one such as 1; the first band is 1"
        )
    return numbers
