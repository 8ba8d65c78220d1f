"""An image embedding and points in, scored masks out: plain torch, a C kernel for CPUs, a GPU path."""
