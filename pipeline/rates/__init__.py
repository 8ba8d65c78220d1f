"""Measures how fast images are labelled here, and estimates from that what a whole input takes."""
