"""SAM's model and mask generation: tensors in, masks out. Knows torch and numpy; no Ray, Arrow, fsspec or Typer."""

__version__ = "0.1.0"
