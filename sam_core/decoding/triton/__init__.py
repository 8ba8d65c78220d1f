"""The decoder as Triton kernels."""
