"""Masks as run lengths: encoding, measuring, selecting. Needs numpy, not torch."""
