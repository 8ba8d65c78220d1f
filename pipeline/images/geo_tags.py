"""Where on earth a GeoTIFF lies, by its tags: an affine transform, and a coordinate system by its EPSG code.

The transform is in GDAL's order: a pixel's corner at column c and row r lies at
x = t[0] + c t[1] + r t[2], y = t[3] + c t[4] + r t[5]. Source: OGC GeoTIFF 1.1, annex B.6 and section 7.
"""

import math
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_SCALE, _TIE_POINTS, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072
_PIXEL_IS_POINT = 2
_USER_DEFINED = 32767

Transform = tuple[float, float, float, float, float, float]


def geo_transform(ifd: ImageFileDirectory_v2) -> Transform | None:
    """The transform of a page; None if it has none, or none that is affine and finite."""
    matrix, scale, ties = (_floats(ifd, tag) for tag in (_MATRIX, _SCALE, _TIE_POINTS))
    if len(matrix) == 16:
        found = (matrix[3], matrix[0], matrix[1], matrix[7], matrix[4], matrix[5])
    elif len(scale) >= 2 and len(ties) >= 6:
        column, row, _, x, y, _ = ties[:6]
        found = (x - column * scale[0], scale[0], 0.0, y + row * scale[1], 0.0, -scale[1])
    else:
        return None
    if _geo_keys(ifd).get(_RASTER_TYPE) == _PIXEL_IS_POINT:  # tied to centres of pixels, not to corners
        found = (
            found[0] - (found[1] + found[2]) / 2,
            *found[1:3],
            found[3] - (found[4] + found[5]) / 2,
            *found[4:],
        )
    is_plane = found[1] * found[5] - found[2] * found[4] != 0
    return found if is_plane and all(map(math.isfinite, found)) else None


def crs(ifd: ImageFileDirectory_v2) -> str | None:
    """The coordinate system as "EPSG:32633"; None if the page names none by a code."""
    keys = _geo_keys(ifd)
    for key in (_PROJECTED, _GEOGRAPHIC):
        code = keys.get(key, 0)
        if 1024 <= code < _USER_DEFINED:
            return f"EPSG:{code}"
        if code == _USER_DEFINED:
            return None
    return None


def _geo_keys(ifd: ImageFileDirectory_v2) -> dict[int, int]:
    """The keys whose value is a number in the directory itself."""
    values: Any = ifd.get(_KEYS, ())
    if not isinstance(values, tuple) or not all(isinstance(each, int) for each in values):
        return {}
    entries = zip(values[4::4], values[5::4], values[7::4], strict=False)
    return {key: value for key, place, value in entries if place == 0}


def _floats(ifd: ImageFileDirectory_v2, tag: int) -> tuple[float, ...]:
    values: Any = ifd.get(tag, ())
    is_numbers = isinstance(values, tuple) and all(isinstance(each, int | float) for each in values)
    return tuple(map(float, values)) if is_numbers else ()
