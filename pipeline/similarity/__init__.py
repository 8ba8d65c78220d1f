"""Finds what looks alike in a dataset, by the vectors that the option mask_embeddings writes."""
