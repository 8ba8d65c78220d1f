"""Pixels of a mask from its logits, in registers: the code that measuring and encoding share.

A program owns a strip of pixel columns of one mask, one column per lane, and goes down it by rows of logits.
Row r of the logits makes the pixel rows whose first tap is r, from rows r, r + 1 and r + 2. If these are all
below the lowest cut or all above the highest, so are their pixels, because no weight is negative: comparing
the logits is enough. Every kernel interpolates the rest with the same rounding, so that counts and edges
agree to the last pixel.
"""

import triton
import triton.language as tl

# Rows of logits compared together: one bit each, plus the two rows after them for the taps of the last
SEGMENT = 30


@triton.jit
def _either(one, other):  # type: ignore[no-untyped-def]
    return one | other


@triton.jit
def _of_windows(row_bits):  # type: ignore[no-untyped-def]
    """The bits of 32 rows as bits of windows: each of the first 30 rows with the two rows after it."""
    return (row_bits | (row_bits >> 1) | (row_bits >> 2)) & 0x3FFFFFFF


@triton.jit
def mean(x0, x1, x2, w0, w1, w2):  # type: ignore[no-untyped-def]
    """The weighted sum of three neighbours."""
    return tl.fma(x2, w2, tl.fma(x1, w1, x0 * w0))


@triton.jit
def column_taps(column_first, column_weights, x):  # type: ignore[no-untyped-def]
    """The first tap of pixel columns, and the weights of their three."""
    first = tl.load(column_first + x)
    weights = column_weights + 3 * x
    return first, tl.load(weights), tl.load(weights + 1), tl.load(weights + 2)


@triton.jit
def row_taps(row_weights, y):  # type: ignore[no-untyped-def]
    """The weights of a pixel row's three taps."""
    weights = row_weights + 3 * y
    return tl.load(weights), tl.load(weights + 1), tl.load(weights + 2)


@triton.jit
def wide_row(logits, row_step, row, L, M, first, w0, w1, w2):  # type: ignore[no-untyped-def]
    """A row of logits at the strip's pixel columns, float32; the last row and column repeat past the end."""
    at = logits + tl.minimum(row, L - 1) * row_step + first
    x0 = tl.load(at).to(tl.float32)
    x1 = tl.load(at + tl.minimum(M - 1, 1)).to(tl.float32)
    x2 = tl.load(at + tl.minimum(M - 1, 2)).to(tl.float32)
    return mean(x0, x1, x2, w0, w1, w2)


@triton.jit
def next_rows(  # type: ignore[no-untyped-def]
    logits, row_step, r, last_r, b, c, L, M, first, w0, w1, w2
):
    """Rows r, r + 1 and r + 2 by `wide_row`; b and c are the two rows after last_r."""
    if last_r != r - 1:
        b = wide_row(logits, row_step, r, L, M, first, w0, w1, w2)
        c = wide_row(logits, row_step, r + 1, L, M, first, w0, w1, w2)
    return b, c, wide_row(logits, row_step, r + 2, L, M, first, w0, w1, w2)


@triton.jit
def window_bits(  # type: ignore[no-untyped-def]
    logits, row_step, r0, L, start, stop, low, high, COLUMNS: tl.constexpr, ROWS: tl.constexpr
):
    """For each of 30 rows from r0: is a logit of its window above `low`? Is one not above `high`?

    A window is a row and the two after it, columns start..stop; rows past the last count as neither.
    COLUMNS x ROWS logits are loaded at a time.
    """
    above = tl.zeros([COLUMNS], tl.int32)
    below = tl.zeros([COLUMNS], tl.int32)
    whole = start + (stop - start) // COLUMNS * COLUMNS
    for column in range(start, whole, COLUMNS):
        columns = column + tl.arange(0, COLUMNS)
        for row in range(0, tl.minimum(32, L - r0), ROWS):
            rows = row + tl.arange(0, ROWS)
            bit = tl.where(r0 + rows < L, tl.full([ROWS], 1, tl.int32) << rows, 0)[:, None]
            at = tl.minimum(r0 + rows, L - 1) * row_step
            x = tl.load(logits + at[:, None] + columns[None, :]).to(tl.float32)
            # one bit per row, so a sum is an or
            above |= tl.sum(tl.where(x > low, bit, 0), axis=0)
            below |= tl.sum(tl.where(x > high, 0, bit), axis=0)
    # the remaining columns (nearly always the strip's last taps): narrow blocks of all 32 rows
    rows = tl.arange(0, 32)
    bit = tl.where(r0 + rows < L, tl.full([32], 1, tl.int32) << rows, 0)[:, None]
    at = tl.minimum(r0 + rows, L - 1) * row_step
    above_rest = tl.zeros([8], tl.int32)
    below_rest = tl.zeros([8], tl.int32)
    for column in range(whole, stop, 8):
        columns = column + tl.arange(0, 8)
        used = (columns < stop)[None, :]
        here = tl.where(used, bit, 0)
        x = tl.load(logits + at[:, None] + columns[None, :], mask=used, other=0).to(tl.float32)
        above_rest |= tl.sum(tl.where(x > low, here, 0), axis=0)
        below_rest |= tl.sum(tl.where(x > high, 0, here), axis=0)
    above_all = tl.reduce(above, 0, _either) | tl.reduce(above_rest, 0, _either)
    below_all = tl.reduce(below, 0, _either) | tl.reduce(below_rest, 0, _either)
    # cleared above bit 31: a shift would repeat the sign
    above_rows = above_all.to(tl.int64) & 0xFFFFFFFF
    below_rows = below_all.to(tl.int64) & 0xFFFFFFFF
    return _of_windows(above_rows), _of_windows(below_rows)
