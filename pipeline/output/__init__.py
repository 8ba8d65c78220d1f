"""The dataset, which is the run's checkpoint as well: manifest, shards, commits, lock, commands on them."""
