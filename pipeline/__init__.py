"""Images in, shards out: the only home of ray, pyarrow and fsspec."""
