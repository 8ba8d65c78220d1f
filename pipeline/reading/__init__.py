"""A dataset of masks in Python: records, pixels, training. Needs no Ray, and torch only to train."""
