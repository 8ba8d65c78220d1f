"""The one error of checkpoints."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says which, what was expected and what to do."""
