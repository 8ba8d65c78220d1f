"""What in a dataset looks alike, by the vectors that the option mask_embeddings has written."""
