"""What stands in the files of a dataset: schema, manifest rows, identity, Parquet settings."""
