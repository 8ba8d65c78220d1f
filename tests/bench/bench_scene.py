"""Peak memory of the processes when a labeler's stages handle a scene of gigapixels, with the bundled model.

The scene is a GeoTIFF of 16-bit samples in tiles of 512, compressed, written tile by tile. With few points,
most of the time is the encoder's. The last line is JSON.
Usage: bench_scene.py FOLDER [SIDE] [TILE_SIZE] [POINTS_PER_SIDE] [SCALE]
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from pipeline.images.decode_pool import DecodeLimits, DecodePool
from pipeline.images.fetch import FetchSettings, is_read_by_window
from pipeline.images.scene import Scene
from pipeline.inputs.source import Source
from pipeline.labelling.opening import Opening
from pipeline.output.format.schema import ok_row, table_of
from pipeline.pixel_reading import PixelReading
from pipeline.store.settings import DEFAULT_ACCESS
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.weights.registry import load_sam

MOST_PIXELS = 178_956_970  # as --max-image-pixels
BLOCK = 512
UTM_33 = [
    (33550, 12, 3, (10.0, 10.0, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500_000.0, 4_600_000.0, 0.0), True),
    (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]


def write_scene(path: Path, side: int) -> None:
    """Writes fields of about sixty pixels; each block of the file is shifted against its neighbours."""
    fields = np.random.default_rng(0).integers(0, 4096, (8, 8)).astype(np.uint16)
    block_HW = np.kron(fields, np.ones((BLOCK // 8, BLOCK // 8), np.uint16))

    def blocks() -> Iterator[np.ndarray]:
        for number in range((-(-side // BLOCK)) ** 2):
            yield np.roll(block_HW, number * 37, axis=1)

    layout = {"tile": (BLOCK, BLOCK), "photometric": "minisblack", "compression": "deflate"}
    tifffile.imwrite(path, blocks(), shape=(side, side), dtype=np.uint16, extratags=UTM_33, **layout)


def peak_mb(of: int) -> int:
    return resource.getrusage(of).ru_maxrss // 1024


def main() -> None:
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    side, tile, points = (int(given) for given in (*arguments[:3], *("40000", "4096", "2")[len(arguments) :]))
    scale = arguments[3] if len(arguments) > 3 else "0:4095"
    path = folder / f"scene-{side}.tif"
    if not path.exists():
        write_scene(path, side)
    row = next(Source.at(str(path)).rows())._asdict()
    settings = FetchSettings(None, DEFAULT_ACCESS, MOST_PIXELS, in_tiles=True)
    assert is_read_by_window(row, settings), "a scene of this size is fetched whole"
    limits = DecodeLimits(MOST_PIXELS, timeout_s=60, reading=PixelReading(scale))
    decoders = DecodePool(1, limits)
    generator = SamAutomaticMaskGenerator(load_sam().sam, points, tile_size=tile)
    figures: dict[str, object] = {"side": side, "tile_size": tile, "points_per_side": points, "scale": scale}
    figures["model_loaded_mb"] = peak_mb(resource.RUSAGE_SELF)
    start = time.perf_counter()
    scene = Opening(decoders, limits, True, DEFAULT_ACCESS).image_of({**row, "data": None, "error": None})
    assert isinstance(scene, Scene)
    figures["range_s"] = round(time.perf_counter() - start, 1)
    print(json.dumps(figures), flush=True)
    start = time.perf_counter()
    (masks,) = generator.generate_batch([scene])
    figures["label_s"] = round(time.perf_counter() - start, 1)
    table = table_of([ok_row(row, scene, masks)])
    decoders.close()
    figures |= {
        "masks": len(masks),
        "row_mb": round(table.nbytes / 1e6, 1),
        "labeler_peak_mb": peak_mb(resource.RUSAGE_SELF),
        "decoder_peak_mb": peak_mb(resource.RUSAGE_CHILDREN),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
