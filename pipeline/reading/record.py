"""One image of a dataset: its row, its masks as pixels when they are asked for, and the image itself."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import DamagedFile, ImageError, UsageError
from pipeline.images.decode import decoded_image
from pipeline.images.fetch import FetchSettings, fetched
from pipeline.images.frame import frame_of
from pipeline.output.format.schema import extra_of
from pipeline.reading.block import Block, ImageSettings
from sam_core.arguments import Positions, positions_of, whole_number
from sam_core.cached import cached_property
from sam_core.masks.decode import Box, decoded_masks, drawn_labels, reduced_masks
from sam_core.masks.image_masks import ImageMasks


@dataclass(frozen=True, eq=False)
class Record:
    """One image. Nothing is decoded before it is asked for. N is the number of masks, H x W the image's size.

    A failed image has no masks: `is_ok` is False, and asking for masks raises UsageError.
    """

    block: Block = field(repr=False)
    row: int = field(repr=False)
    chosen: NDArray[np.int64] | None = field(default=None, repr=False)  # of the row's masks; None for all

    def __getitem__(self, column: str) -> Any:
        """The value of a column as the dataset stores it, for all masks of the row."""
        return self.block.value(column, self.row)

    def __repr__(self) -> str:
        what = f"{len(self)} masks" if self.is_ok else str(self["error"])
        return f"<Record {self['uri']}: {what}>"

    def __len__(self) -> int:
        """The number of masks; 0 for a failed image."""
        if not self.is_ok:
            return 0
        return len(self.chosen) if self.chosen is not None else int(self["num_masks"])

    def __bool__(self) -> bool:
        return True  # also without masks

    def __reduce__(self) -> tuple[Any, ...]:
        # only this row is sent to another process, not the rows beside it
        return _unpickled, (self.block.table.take([self.row]), self.block.images, self.chosen)

    @property
    def image_id(self) -> str:
        """32 hex characters made from the uri, or from `source_id` if there is one."""
        return str(self["image_id"])

    @property
    def uri(self) -> str:
        """Where the image is."""
        return str(self["uri"])

    @property
    def source_id(self) -> str | None:
        """The id that the list of a run gave the image (--id-column); None if it gave none."""
        value = self["source_id"]
        return None if value is None else str(value)

    @property
    def extra(self) -> dict[str, Any]:
        """The columns of a list that the run kept (--keep-columns), by name; empty if it kept none."""
        try:
            return extra_of(self["extra"])
        except ValueError as fault:
            raise DamagedFile(f"the row of {self.uri}", str(fault)) from fault

    @property
    def is_ok(self) -> bool:
        """Whether the image was labelled."""
        return bool(self["status"] == "ok")

    @property
    def height(self) -> int:
        """The height of the upright image, in pixels."""
        self._refuse_failed()
        return int(self["height"])

    @property
    def width(self) -> int:
        """The width of the upright image, in pixels."""
        self._refuse_failed()
        return int(self["width"])

    @property
    def area(self) -> NDArray[np.int64]:
        """Pixels of each mask; int64 [N]."""
        return self._numbers("mask_area")

    @property
    def bbox_xywh(self) -> NDArray[np.float32]:
        """Box of each mask as SAM gives it, from the first to the last pixel's centre; float32 [N, 4]."""
        return self._numbers("mask_bbox")

    @property
    def predicted_iou(self) -> NDArray[np.float32]:
        """The model's own estimate of each mask's quality; float32 [N]."""
        return self._numbers("mask_predicted_iou")

    @property
    def stability_score(self) -> NDArray[np.float32]:
        """IoU of each mask cut at a higher and a lower threshold; float32 [N]."""
        return self._numbers("mask_stability_score")

    @property
    def mask_embedding(self) -> NDArray[np.float16]:
        """A vector for each mask (docs/embeddings.md); float16 [N, 256].

        Raises: UsageError if they were not read, or the run did not write them (--mask-embeddings).
        """
        return self._numbers("mask_embedding")

    @property
    def image_embedding(self) -> NDArray[np.float16]:
        """The image's own vector; float16 [256]. Raises: as `mask_embedding`."""
        self._refuse_failed()
        return self.block.image_vector(self.row)

    @cached_property
    def counts(self) -> list[bytes]:
        """COCO's compressed run lengths of each mask."""
        self._refuse_failed()
        every = self.block.counts(self.row)
        return every if self.chosen is None else [every[index] for index in self.chosen.tolist()]

    @property
    def image_masks(self) -> ImageMasks:
        """The masks with all their columns, as `sam_core` has them: for SA's records, filters, `select`."""
        return ImageMasks(
            height=self.height,
            width=self.width,
            counts=self.counts,
            area=self.area,
            bbox_xywh=self.bbox_xywh,
            predicted_iou=self.predicted_iou,
            stability_score=self.stability_score,
            point_coords=self._numbers("mask_point_coords"),
            crop_box_xywh=self._numbers("mask_crop_box"),
            embedding=self.mask_embedding if self.block.has("mask_embedding") else None,
            image_embedding=self.image_embedding if self.block.has("image_embedding") else None,
        )

    def select(self, index: Positions) -> "Record":
        """The same image with the masks at `index` only: positions, or one bool for each mask.

        Raises: TypeError, IndexError.
        """
        self._refuse_failed()
        positions = positions_of(index, len(self))
        return Record(self.block, self.row, positions if self.chosen is None else self.chosen[positions])

    def mask(self, index: int, window_xyxy: Box | None = None) -> NDArray[np.bool_]:
        """One mask, or a window of it from pixel x0, y0 to x1, y1 (both of these excluded); bool [H, W].

        Raises: IndexError, TypeError; ValueError for a window that leaves the image.
        """
        index = whole_number(index, "the position of a mask")
        if not -len(self.counts) <= index < len(self.counts):
            raise IndexError(f"there is no mask {index} in {self.uri}, which has {len(self)}")
        mask_HW: NDArray[np.bool_] = decoded_masks(
            [self.counts[index]], self.height, self.width, window_xyxy
        )[0]
        return mask_HW

    def masks(
        self, size: tuple[int, int] | None = None, out: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """All masks; bool [N, H, W], or [N, *size]: there a cell is True if at least half of it is covered.

        Along a side with more cells than pixels, a cell has the value of the pixel that its centre lies in.
        The masks are written into `out` if it is given, an array of bool or uint8. A smaller size is computed
        without decoding masks at full size.
        Raises: ValueError for an invalid size, or an `out` of another shape.
        """
        if size is None:
            return decoded_masks(self.counts, self.height, self.width, None, out)
        return reduced_masks(self.counts, self.height, self.width, size, out)

    def label_map(self, size: tuple[int, int] | None = None) -> NDArray[np.int32]:
        """For each pixel the position of its mask plus 1, 0 for none; int32 [H, W], or `size`.

        Where masks overlap, the pixel belongs to the one of smaller area, so a part is seen on its whole.
        """
        largest_first = np.argsort(-self.area, kind="stable")
        if size is None:
            return drawn_labels(self.counts, largest_first, self.height, self.width)
        masks_NHW = self.masks(size)
        labels_HW = np.zeros(masks_NHW.shape[1:], np.int32)
        for index in largest_first.tolist():
            labels_HW[masks_NHW[index]] = index + 1
        return labels_HW

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """The image as it was labelled: fetched, decoded, turned upright; uint8 RGB [H, W, 3].

        Raises: ImageError if the image is gone or has changed.
        """
        self._refuse_failed()
        try:
            pixels = self.height * self.width
            settings = FetchSettings(None, self.block.images.access, pixels)
            data = fetched({"uri": self.uri, "etag": self["etag"], "size": 0}, settings).data
            pixels_HW3 = decoded_image(data, pixels, self.block.images.reading, frame_of(self.uri)).image_HW3
        except ImageError as fault:
            raise ImageError(fault.reason, f"the image {self.uri} cannot be loaded: {fault}") from fault
        return pixels_HW3 if pixels_HW3.flags.writeable else pixels_HW3.copy()  # torch needs it writeable

    def _numbers(self, column: str) -> NDArray[Any]:
        self._refuse_failed()
        every = self.block.numbers(column, self.row)
        return every if self.chosen is None else every[self.chosen]

    def _refuse_failed(self) -> None:
        if not self.is_ok:
            raise UsageError(
                f"{self['uri']} has no masks: labelling it failed ({self['error']}); check is_ok first"
            )


def _unpickled(table: pa.Table, images: ImageSettings, chosen: NDArray[np.int64] | None) -> Record:
    return Record(Block(table, images), 0, chosen)
