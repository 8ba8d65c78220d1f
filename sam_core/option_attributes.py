"""A generator's options as SA's scripts use them: arguments in SA's order, and attributes that may be set.

Setting an option checks it as the constructor does; a refused value changes nothing.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from sam_core.arguments import checked_numbers, in_words
from sam_core.masks.crops import layer_point_grids
from sam_core.masks.image_masks import OUTPUT_MODES, OutputMode
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions
from sam_core.predictor import SamPredictor, not_a_model

Grids = list[npt.NDArray[np.float64]]  # of the image, then of each layer of crops: x, y in 0..1

# SA's parameters after points_per_side; scripts also pass them by position.
# Source: automatic_mask_generator.py of segment-anything 1.0
SA_ORDER = (
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "stability_score_offset",
    "box_nms_thresh",
    "crop_n_layers",
    "crop_nms_thresh",
    "crop_overlap_ratio",
    "crop_n_points_downscale_factor",
    "point_grids",
    "min_mask_region_area",
    "output_mode",
)
ATTRIBUTES = ("model", "predictor", "options", "point_grids", "output_mode", *MaskOptions.model_fields)


class OptionAttributes:
    """The options of mask generation, the grids of points, the form of the records, and the model.

    Every field of MaskOptions can be read and set as an attribute. Because of the slots, any other name is an
    error on the generator itself; a subclass may have attributes of its own.
    """

    __slots__ = ("__weakref__", "_given_grids", "_options", "_output_mode", "_point_grids", "_predictor")

    def __init__(
        self, model: Sam, points_per_side: int | None, in_order: Sequence[Any], named: dict[str, Any]
    ) -> None:
        options = by_name(in_order, named)
        grids, self.output_mode = (
            options.pop("point_grids", None),
            options.pop("output_mode", OUTPUT_MODES[0]),
        )
        if (points_per_side is None) == (grids is None):
            raise ValueError("give either points_per_side or point_grids (with points_per_side=None)")
        if points_per_side is not None:
            options["points_per_side"] = points_per_side
        self.model = model
        self._set(MaskOptions.checked(options), None if grids is None else checked_grids(grids))

    def __getattr__(self, name: str) -> Any:
        if name in MaskOptions.model_fields:
            return getattr(self.options, name)
        raise AttributeError(f"a {type(self).__name__} has no attribute {name}{_suggestion(name)}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "points_per_side":
            self._set(self._changed(name, value), None)
        elif name in MaskOptions.model_fields:
            self._set(self._changed(name, value), self._given_grids)
        else:
            try:
                super().__setattr__(name, value)
            except AttributeError:
                raise AttributeError(
                    f"{name} cannot be set: it is not an option of mask generation{_suggestion(name)}"
                ) from None

    @property
    def options(self) -> MaskOptions:
        """All options. With point_grids given, points_per_side has no meaning."""
        return self._options

    @options.setter
    def options(self, options: MaskOptions) -> None:
        self._set(checked_options(options), self._given_grids)

    @property
    def points_per_side(self) -> int | None:
        """Points along a side of the image's grid; None if the grids were given."""
        return self.options.points_per_side if self._given_grids is None else None

    @property
    def point_grids(self) -> Grids:
        """Points of the image and of each layer of crops, x and y in 0..1."""
        return self._point_grids

    @point_grids.setter
    def point_grids(self, grids: Sequence[npt.NDArray[np.float64]]) -> None:
        self._set(self._options, checked_grids(grids))

    @property
    def output_mode(self) -> OutputMode:
        """The form in which `generate` returns a mask: one of OUTPUT_MODES."""
        return self._output_mode

    @output_mode.setter
    def output_mode(self, output_mode: OutputMode) -> None:
        if output_mode not in OUTPUT_MODES:
            raise ValueError(f"output_mode must be one of {', '.join(OUTPUT_MODES)}, not {output_mode!r}")
        self._output_mode: OutputMode = output_mode

    @property
    def model(self) -> Sam:
        """The model that makes the masks."""
        return self._predictor.model

    @model.setter
    def model(self, model: Sam) -> None:
        if not isinstance(model, Sam):
            raise not_a_model(model, "a generator")
        self._predictor = SamPredictor(model)

    @property
    def predictor(self) -> SamPredictor:
        """A predictor with the generator's model. Mask generation uses only its model."""
        return self._predictor

    @predictor.setter
    def predictor(self, predictor: SamPredictor) -> None:
        if type(predictor) is not SamPredictor:
            raise ValueError(
                f"predictor must be a sam_core.SamPredictor, got {type(predictor).__name__}; mask "
                "generation uses only its model, so methods of another class would have no effect"
            )
        self._predictor = predictor

    def _changed(self, name: str, value: Any) -> MaskOptions:
        return MaskOptions.checked({**self._options.model_dump(), name: value})

    def _set(self, options: MaskOptions, given_grids: Grids | None) -> None:
        """Sets options and grids, which depend on each other. Raises: ValueError if there are too few."""
        layers = options.crop_n_layers
        if given_grids is not None and len(given_grids) < layers + 1:
            raise ValueError(
                f"crop_n_layers={layers} needs {layers + 1} point_grids, the first for the whole image, "
                f"got {len(given_grids)}"
            )
        self._options, self._given_grids = options, given_grids
        self._point_grids = given_grids or layer_point_grids(
            options.points_per_side, layers, options.crop_n_points_downscale_factor
        )


def checked_options(options: object) -> MaskOptions:
    """The options themselves. Raises: ValueError if they are not MaskOptions."""
    if not isinstance(options, MaskOptions):
        raise ValueError(f"options must be a MaskOptions, got {type(options).__name__}")
    return options


def checked_grids(grids: Sequence[npt.NDArray[np.float64]]) -> Grids:
    """The grids as float64 [N, 2]. Raises: ValueError for another shape, or points outside 0..1."""
    if not isinstance(grids, Iterable):
        raise ValueError(
            f"point_grids must be a list of arrays [N, 2], got {in_words(grids)}; set points_per_side instead"
        )
    checked = []
    for index, given in enumerate(grids):
        expected = f"point_grids[{index}] must be an array [N, 2] of x and y"
        grid = checked_numbers(given, expected).astype(np.float64)
        if grid.ndim != 2 or grid.shape[1] != 2 or not len(grid):
            raise ValueError(f"{expected}, got {list(grid.shape)}")
        if not ((grid >= 0) & (grid <= 1)).all():
            raise ValueError(
                f"point_grids[{index}] has points outside 0..1; divide pixels by the image's width and height"
            )
        checked.append(grid)
    return checked


def by_name(in_order: Sequence[Any], named: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name. Raises: TypeError for too many arguments, or one that is given twice."""
    if len(in_order) > len(SA_ORDER):
        raise TypeError(f"at most {len(SA_ORDER)} arguments follow points_per_side, got {len(in_order)}")
    options = dict(zip(SA_ORDER, in_order, strict=False))
    if twice := options.keys() & named.keys():
        raise TypeError(f"given by position and by name: {', '.join(sorted(twice))}")
    return options | named


def _suggestion(name: str) -> str:
    near = [] if name.startswith("_") else get_close_matches(name, ATTRIBUTES, n=1)
    return f"; did you mean {near[0]}?" if near else "; docs/drop-in.md says what a generator has"
