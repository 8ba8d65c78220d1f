"""Makes fetched rows into images: decoded whole, or opened as windows if a TIFF is too large for that."""

import io
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from pipeline.errors import ImageError, Reason, StoreError
from pipeline.images.decode import DecodedImage
from pipeline.images.decode_pool import DecodeLimits, DecodePool
from pipeline.images.frame import frame_of, without_frame
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.images.scene import Scene, opened_scene
from pipeline.store.range_file import RangeFile
from pipeline.store.settings import Access
from pipeline.store.storage import Store

Image = DecodedImage | Scene


@dataclass(frozen=True)
class Opening:
    """Makes an image of a fetched row; as many threads as there are decoders may do so at once."""

    decoders: DecodePool
    limits: DecodeLimits
    in_tiles: bool  # whether images are labelled in tiles
    access: Access  # how the input is reached

    def image_of(self, row: dict[str, Any]) -> Image:
        """The image. Raises: ImageError, also for a fault of fetching; SamLabelError if no decoder starts."""
        if row["error"] is not None:
            raise ImageError(Reason(row["error"]), row["error_message"])
        data, frame = row["data"], frame_of(row["uri"])
        if data is None:
            return self._from_store(row, frame)
        try:
            return self.decoders.decode(data, frame)
        except ImageError as fault:
            is_tiff = image_format(data[:HEADER_BYTES]) == "TIFF"
            if fault.reason is not Reason.TOO_LARGE or not self.in_tiles or not is_tiff:
                raise
        return self._scene(io.BytesIO(data), len(data), frame)

    def _from_store(self, row: dict[str, Any], frame: int | None) -> Scene:
        store, name = Store.of_uri(without_frame(row["uri"]), self.access)
        try:
            entry = store.info(name)
        except StoreError as fault:
            raise ImageError(fault.reason, str(fault)) from fault
        if entry is None:
            raise ImageError(Reason.SOURCE_MISSING, "it was listed, but no longer exists")
        if entry.etag != row["etag"] != "":
            raise ImageError(
                Reason.SOURCE_CHANGED,
                f"its etag is {entry.etag} but was {row['etag']} when listed; run again with --refresh",
            )
        return self._scene(cast(BinaryIO, RangeFile(store, name, entry.size, entry.etag)), entry.size, frame)

    def _scene(self, file: BinaryIO, size: int, frame: int | None) -> Scene:
        limits = self.limits
        return opened_scene(file, size, frame, self.decoders, limits.max_pixels, limits.reading)
