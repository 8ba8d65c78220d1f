"""Figures of a whole dataset: exact ones of its columns, and those of pixels by a sample."""
