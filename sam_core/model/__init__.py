"""SAM's modules, with the attribute names of the official checkpoints."""
