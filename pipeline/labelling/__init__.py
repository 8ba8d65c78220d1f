"""The steps of the chain that run on Ray workers: fetching, decoding ahead, labelling."""
