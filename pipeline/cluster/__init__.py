"""Starts or joins Ray, keeps it quiet, supervises a run on it, and ends it."""
