"""What segment-anything needs of OpenCV, for its small regions: connected components, from scipy."""

import numpy as np
from scipy import ndimage


def connectedComponentsWithStats(mask: np.ndarray, connectivity: int) -> tuple:
    """Number of labels, labels, and a table whose last column is the area; label 0 is where the mask is 0."""
    assert connectivity == 8
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    # OpenCV counts the components by rows of blocks of 2 x 2 pixels
    rows, columns = np.nonzero(labels)
    in_order = labels[rows, columns][np.lexsort((columns // 2, rows // 2))]
    number = np.zeros(count + 1, labels.dtype)
    number[list(dict.fromkeys(in_order.tolist()))] = np.arange(1, count + 1)
    labels = number[labels]
    area = np.bincount(labels.ravel(), minlength=count + 1)
    return count + 1, labels, area[:, None], None
