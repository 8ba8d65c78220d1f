"""How queries, keys and values of all heads lie in the rows of one product.

The attention kernels read them in place. They read a head's channels in one or two pieces whose widths are
powers of two, as Triton's tiles must be: 80 is 64 + 16.
"""

from dataclasses import dataclass

SMALLEST_PIECE = 16  # channels; narrower products do not exist
LARGEST_HEAD = 128


@dataclass(frozen=True)
class Heads:
    """Heads of one layer, with the strides of a row of 3 * count * size numbers."""

    count: int
    size: int
    part_stride: int  # from a query to its key, and on to its value
    head_stride: int

    @classmethod
    def by_part(cls, count: int, size: int) -> "Heads":
        """All queries, then all keys, then all values, as the ViT encoders have them."""
        return cls(count, size, part_stride=count * size, head_stride=size)

    @classmethod
    def by_head(cls, count: int, size: int) -> "Heads":
        """Query, key and value of one head after the other, as TinyViT has them."""
        return cls(count, size, part_stride=size, head_stride=3 * size)

    @property
    def pieces(self) -> tuple[int, int]:
        """Widths that cover a head's channels; the second may be 0."""
        whole = max(SMALLEST_PIECE, 1 << (self.size - 1).bit_length())
        if whole == self.size or whole == SMALLEST_PIECE:
            return whole, 0
        first = whole // 2
        return first, max(SMALLEST_PIECE, 1 << (self.size - first - 1).bit_length())


def heads_serve(width: int, count: int) -> bool:
    """Whether the kernels support this number of heads over this number of channels."""
    return width % count == 0 and width // count <= LARGEST_HEAD and width // count % 8 == 0
