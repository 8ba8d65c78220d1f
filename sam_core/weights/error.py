"""The errors of checkpoints."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says which one, what was expected and what to do."""


class NoCheckpoint(CheckpointError, FileNotFoundError):
    """There is no file; also a FileNotFoundError, as in segment-anything."""
