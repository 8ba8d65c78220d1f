"""Shows a dataset: draws its masks over its photos. Needs neither Ray nor torch."""
