"""Runs on other machines: submitted to a Ray cluster now, or handed to a scheduler."""
