"""Which weights a run uses, and where their file is on this machine."""
