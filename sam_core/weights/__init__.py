"""Checkpoints: reading, recognising, and building a model from them."""
