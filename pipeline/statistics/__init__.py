"""Figures of a whole dataset: exact ones from its columns, and figures of pixels from a sample."""
