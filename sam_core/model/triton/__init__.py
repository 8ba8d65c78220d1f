"""The image encoders and the resize before them as Triton kernels: only the GPU path imports this package."""
