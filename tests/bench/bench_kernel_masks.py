"""How the masks that a GPU's kernels draw differ from the CPU's, without a GPU: interpreted on the CPU.

Compares their masks with the CPU's own in float32, for the points of the recorded masks and one in --nth of
all. The image encoder is plain torch in the precision: interpreted, its kernels would take far longer.
A program handles a whole image, which saves the interpreter most of its steps; the products are the same. A
prompt takes 2 to 5 seconds. Prints a sentence per image, and JSON as the last line.
"""

import argparse
import gzip
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported

import numpy as np
import torch
from agreement import agreement
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

from recorded_masks import GOLDEN, PHOTOS, points_of

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.triton import first_look, look, positions, upscale
from sam_core.decoding.triton.kernel_decoder import KernelDecoder, Kernels
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.candidates import Candidates
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions
from sam_core.weights.registry import load_sam

POSITIONS = 4096  # of an image
PROMPTS = 16  # per batch, to save memory


class Interpreted:
    """A crop decoder that draws with the kernels and selects as the CPU does."""

    def __init__(
        self, sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, options: MaskOptions, kernels: Kernels
    ) -> None:
        self._decoder = KernelDecoder(sam, features_1Chw, frame, options, kernels)
        self._decoder._batch_size = PROMPTS

    def candidates(self, points_N2: np.ndarray) -> Candidates:
        return self._decoder.candidates(points_N2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", default="float16", choices=["float16", "float32"])
    parser.add_argument("--images", nargs="+", help="names of sample photos; all if not given")
    parser.add_argument("--nth", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    one_program_an_image()
    sam = load_sam(device="cpu").sam
    kernels = Kernels.of(sam, MaskOptions(precision=arguments.precision))
    ours, exact = [], []
    for path in sorted(GOLDEN.glob("*.default.json.gz")):
        golden = json.loads(gzip.decompress(path.read_bytes()))
        if arguments.images and golden["image"] not in arguments.images:
            continue
        photo = np.array(Image.open(PHOTOS / golden["image"]).convert("RGB"))
        points = [points_of(golden["masks"], arguments.nth)]
        exact.append(SamAutomaticMaskGenerator(sam, None, point_grids=points).generate_masks(photo))
        ours.append(
            SamAutomaticMaskGenerator(
                sam,
                None,
                point_grids=points,
                precision=arguments.precision,
                decoder=lambda *crop: Interpreted(*crop, kernels),
            ).generate_masks(photo)
        )
        print(golden["image"], len(points[0]), "points:", agreement(ours[-1:], exact[-1:], 0.99), flush=True)
    print(json.dumps({"precision": arguments.precision, **asdict(agreement(ours, exact, 0.99))}))


def one_program_an_image() -> None:
    """Sets tilings with all positions in one program."""
    first_look.TILE, look.PROGRAMS = POSITIONS, 1
    for tuned in (look.TUNING, positions.TUNING, upscale.TUNING):
        tuned.update({key: replace(tuning, tile=POSITIONS) for key, tuning in tuned.items()})
    positions.TUNING.update({key: replace(tuning, tiles=1) for key, tuning in positions.TUNING.items()})


if __name__ == "__main__":
    main()
