"""The errors of checkpoints."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says which, what was expected and what to do."""


class NoCheckpoint(CheckpointError, FileNotFoundError):
    """There is no file; as segment-anything's, a FileNotFoundError."""
