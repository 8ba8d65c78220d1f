"""The dataset as the checkpoint: manifest, shards, commits, lock, and what is asked of them later."""
