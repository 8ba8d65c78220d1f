"""Which labelers are loading their model, and on which nodes that fails.

A node may have a broken driver or too little memory. The run then goes on without that node: each of its
labelers tries again after longer and longer pauses, wherever Ray finds room. If no labeler can load its model
anywhere, the run ends.
"""

from collections import defaultdict

LONGEST_PAUSE_S = 30.0  # a labeler that waits here may be needed elsewhere
# A run that has lost its working labelers may find room only on broken nodes. With the pauses, this many
# failures mean a quarter of an hour without a single image.
MOST_IN_A_ROW = 30


class Loads:
    """The loads of one run, which starts with `labelers` labelers."""

    def __init__(self, labelers: int = 1) -> None:
        self._labelers = labelers
        self._loading: dict[str, str] = {}  # labeler -> node
        self._failed_on: defaultdict[str, int] = defaultdict(int)
        self._failed: set[str] = set()  # labelers that have never loaded
        self._in_a_row = 0
        self._has_loaded = False

    def begin(self, labeler: str, node: str) -> float:
        """Seconds to wait before loading; a labeler that begins twice has died while it was loading."""
        if labeler in self._loading:
            self.fail(labeler)
        self._loading[labeler] = node
        failures = self._failed_on[node]
        return min(2.0 ** (failures - 1), LONGEST_PAUSE_S) if failures else 0.0

    def end(self, labeler: str) -> None:
        """The labeler has its model."""
        self._failed_on.pop(self._loading.pop(labeler, ""), None)
        self._has_loaded = True
        self._in_a_row = 0

    def fail(self, labeler: str) -> None:
        """The labeler has no model, and starts again in another process."""
        self._failed_on[self._loading.pop(labeler, "")] += 1
        self._failed.add(labeler)
        self._in_a_row += 1

    def goes_on(self) -> None:
        """Notes that an image was labelled: not every node is broken."""
        self._in_a_row = 0

    @property
    def have_begun(self) -> bool:
        """Whether a labeler has started anywhere."""
        return self._has_loaded or bool(self._loading or self._failed)

    @property
    def are_hopeless(self) -> bool:
        """Whether there is no node left that could label."""
        if self._has_loaded:
            return self._in_a_row >= MOST_IN_A_ROW
        return len(self._failed) >= self._labelers or self._in_a_row >= 3 * self._labelers
