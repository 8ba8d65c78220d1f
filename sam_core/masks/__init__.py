"""Masks as run lengths: encoding, measuring, selecting. Needs no torch."""
