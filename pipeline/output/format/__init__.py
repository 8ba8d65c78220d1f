"""What the files of a dataset contain: schema, manifest rows, identity, Parquet settings."""
