"""The page's three sliders: where each begins, and whether `sam-label filter` can apply it."""

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.store.storage import Store
from sam_core.masks.refilter import check_refilter
from sam_core.options import MaskOptions


@dataclass(frozen=True)
class Slider:
    """A threshold of the mask options; `refused` says why `sam-label filter` cannot tighten it here."""

    key: str
    option: str
    start: float  # what the masks were made with: here no mask is hidden
    end: float
    refused: str | None


def sliders(made_with: MaskOptions) -> list[Slider]:
    """Predicted IoU, stability and the largest area, each from its loosest value to its tightest."""
    # the predicted IoU of a good mask is a little above 1
    top_iou = max(1.05, made_with.pred_iou_thresh)
    return [
        _slider(made_with, "iou", "pred_iou_thresh", top_iou),
        _slider(made_with, "stability", "stability_score_thresh", 1.0),
        _slider(made_with, "area", "max_mask_area", min(1e-4, made_with.max_mask_area)),
    ]


def folder_of(store: Store) -> str:
    """How the page's commands name the dataset, in whatever folder they are run."""
    return store.location.path if store.is_local else store.url


def _slider(made_with: MaskOptions, key: str, option: str, end: float) -> Slider:
    start = float(getattr(made_with, option))
    tighter = made_with.model_copy(update={option: (start + end) / 2})
    refused = None
    try:
        check_refilter(made_with, tighter)
    except ValueError as why:
        refused = str(why).partition(";")[0]  # the rest says to label again, which an export does not need
    return Slider(key, f"--{option.replace('_', '-')}", start, end, refused)


def as_json(every: list[Slider]) -> list[dict[str, Any]]:
    return [asdict(slider) for slider in every]
