"""Resizing as a weighted sum: along a side, each pixel is made of three neighbouring logits.

SA resizes 256x256 logits to the 1024x1024 input, cuts the padding and resizes to the crop. Both steps are
bilinear, so together they are one sum along each side. Two adjacent input pixels lie over three logits at
most.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Neighbouring logits that one pixel is made of
TAPS = 3


@dataclass(frozen=True)
class Taps:
    """The taps of P pixels along a side: pixel p is the sum of weights_P3[p, k] times logit first_P[p] + k.

    No weight is negative, those of a pixel sum to 1, and first_P never falls.
    """

    first_P: npt.NDArray[np.int32]
    weights_P3: npt.NDArray[np.float32]
    logits: int  # how many have a weight; logits over padding alone have none

    def matrix(self) -> npt.NDArray[np.float32]:
        """The same as a dense matrix, pixels = matrix @ logits; float32 [P, logits]."""
        matrix_PL = np.zeros((len(self.first_P), max(self.logits, TAPS)), dtype=np.float32)
        np.put_along_axis(matrix_PL, self.first_P[:, None] + np.arange(TAPS), self.weights_P3, axis=1)
        return np.ascontiguousarray(matrix_PL[:, : self.logits])


def resize_taps(pixels: int, input_pixels: int, image_size: int, low_res_size: int) -> Taps:
    """The taps of both steps: logits to the model's input, then its first `input_pixels` to `pixels`.

    Raises: ValueError if the input has fewer pixels than there are logits, so that three taps may be too few.
    """
    if image_size < low_res_size:
        raise ValueError(
            f"logits can only be resized to a larger size, not from {low_res_size} to {image_size}"
        )
    outer_P, inner_P = _bilinear(pixels, input_pixels), _bilinear(image_size, low_res_size)
    # four pairs per pixel of a logit and its weight, the lowest logit first
    terms = [
        (logit_P[input_P], outer_weight_P * weight_P[input_P])
        for input_P, outer_weight_P in outer_P
        for logit_P, weight_P in inner_P
    ]
    logits = 1 + max(int(logit_P[weight_P > 0].max(initial=0)) for logit_P, weight_P in terms)
    # the taps of the last pixels end at the last logit
    first_P = np.minimum(terms[0][0], max(logits - TAPS, 0))
    weights_P3 = np.zeros((pixels, TAPS))
    for logit_P, weight_P in terms:
        # a term past the last tap has no weight
        weights_P3[np.arange(pixels), np.minimum(logit_P - first_P, TAPS - 1)] += weight_P
    return Taps(first_P.astype(np.int32), weights_P3.astype(np.float32), logits)


def _bilinear(
    out_size: int, in_size: int
) -> tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]], ...]:
    """The two source places of each of `out_size` in bilinear resizing, with weights; edges are repeated.

    Source: torch.nn.functional.interpolate, mode bilinear, align_corners False.
    """
    position = np.clip((np.arange(out_size) + 0.5) * (in_size / out_size) - 0.5, 0, in_size - 1)
    low = np.floor(position).astype(np.int64)
    weight = position - low
    return (low, 1 - weight), (np.minimum(low + 1, in_size - 1), weight)
