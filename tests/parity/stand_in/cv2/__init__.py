"""What segment-anything needs of OpenCV, for its small regions: connected components, from scipy."""

import numpy as np
from scipy import ndimage


def connectedComponentsWithStats(mask: np.ndarray, connectivity: int) -> tuple:
    """Number of labels, labels, and a table whose last column is the area; label 0 is where the mask is 0."""
    assert connectivity == 8
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    area = np.bincount(labels.ravel(), minlength=count + 1)
    return count + 1, labels, area[:, None], None
