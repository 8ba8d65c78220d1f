"""The masks of one image as mask generation gives them: plain columns, encoded as COCO RLE.

Columns rather than a list of records, because the dataset stores columns; SA's records are made on request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from sam_core.arguments import Positions, positions_of, whole_number
from sam_core.masks.decode import decoded_masks
from sam_core.masks.rle import compressed_counts_runs

OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]
OUTPUT_MODES: tuple[OutputMode, ...] = get_args(OutputMode)


@dataclass(frozen=True)
class ImageMasks:
    """The masks of one image, N of them, in its frame; all columns have length N, which may be 0."""

    height: int
    width: int
    counts: list[bytes]  # COCO's compressed run lengths, column-major
    area: npt.NDArray[np.int64]
    # as in SA, width and height are the last pixel minus the first, one less than the extent
    bbox_xywh: npt.NDArray[np.float32]
    predicted_iou: npt.NDArray[np.float32]
    stability_score: npt.NDArray[np.float32]
    point_coords: npt.NDArray[np.float32]  # x, y of the prompt
    crop_box_xywh: npt.NDArray[np.float32]
    # with the option mask_embeddings (decoding/mask_embedding.py)
    embedding: npt.NDArray[np.float16] | None = None  # [N, C]
    image_embedding: npt.NDArray[np.float16] | None = None  # [C], of the whole image

    def __len__(self) -> int:
        return len(self.counts)

    def select(self, index: Positions) -> "ImageMasks":
        """The masks at `index`, in its order; it is positions, or one bool per mask.

        Raises: TypeError, IndexError.
        """
        positions = positions_of(index, len(self))
        return ImageMasks(
            self.height,
            self.width,
            [self.counts[position] for position in positions.tolist()],
            self.area[positions],
            self.bbox_xywh[positions],
            self.predicted_iou[positions],
            self.stability_score[positions],
            self.point_coords[positions],
            self.crop_box_xywh[positions],
            None if self.embedding is None else self.embedding[positions],
            self.image_embedding,
        )

    def box_xyxy(self) -> npt.NDArray[np.float32]:
        """First and last pixel of each mask; float32 [N, 4]."""
        return np.concatenate([self.bbox_xywh[:, :2], self.bbox_xywh[:, :2] + self.bbox_xywh[:, 2:]], axis=1)

    def mask(self, index: int) -> npt.NDArray[np.bool_]:
        """One mask, decoded; bool [height, width]. Raises: IndexError, TypeError."""
        index = whole_number(index, "the position of a mask")
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no mask {index} among {len(self)}")
        mask_HW: npt.NDArray[np.bool_] = decoded_masks([self.counts[index]], self.height, self.width)[0]
        return mask_HW

    def records(
        self, output_mode: OutputMode = "binary_mask", embeddings: bool = False
    ) -> list[dict[str, Any]]:
        """SA's record dictionaries, one per mask, with `segmentation` in the form that `output_mode` names.

        With `embeddings` each has one more key than SA's, `embedding`: float16 [C], None if there are none.
        Raises: ValueError for another form.
        """
        if output_mode not in OUTPUT_MODES:
            raise ValueError(f"output_mode is {output_mode!r}; give one of {', '.join(OUTPUT_MODES)}")
        records = [
            {
                "segmentation": self._segmentation(index, output_mode),
                "area": int(self.area[index]),
                "bbox": self.bbox_xywh[index].astype(int).tolist(),
                "predicted_iou": float(self.predicted_iou[index]),
                "point_coords": [self.point_coords[index].tolist()],
                "stability_score": float(self.stability_score[index]),
                "crop_box": self.crop_box_xywh[index].astype(int).tolist(),
            }
            for index in range(len(self))
        ]
        for index, record in enumerate(records if embeddings else ()):
            record["embedding"] = None if self.embedding is None else self.embedding[index]
        return records

    def _segmentation(self, index: int, output_mode: OutputMode) -> npt.NDArray[np.bool_] | dict[str, Any]:
        if output_mode == "binary_mask":
            return self.mask(index)
        size = [self.height, self.width]
        if output_mode == "coco_rle":
            return {"size": size, "counts": self.counts[index].decode("ascii")}
        return {"size": size, "counts": compressed_counts_runs(self.counts[index]).tolist()}


def joined_masks(parts: Sequence[ImageMasks]) -> ImageMasks:
    """The masks of several parts of one image, one after the other; there is at least one part.

    The image's vector comes from the first part.
    """
    embeddings = [part.embedding for part in parts if part.embedding is not None]
    return ImageMasks(
        parts[0].height,
        parts[0].width,
        [counts for part in parts for counts in part.counts],
        np.concatenate([part.area for part in parts]),
        np.concatenate([part.bbox_xywh for part in parts]),
        np.concatenate([part.predicted_iou for part in parts]),
        np.concatenate([part.stability_score for part in parts]),
        np.concatenate([part.point_coords for part in parts]),
        np.concatenate([part.crop_box_xywh for part in parts]),
        np.concatenate(embeddings) if embeddings else None,
        parts[0].image_embedding,
    )
