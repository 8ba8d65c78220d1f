"""The image encoders and the resize before them as Triton kernels: only a GPU's path imports this room."""
