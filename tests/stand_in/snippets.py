"""Runs the Python snippets of a page of the docs: `python snippets.py PAGE [WITH [WITHOUT]]`.

WITH and WITHOUT are words that the snippets contain, or do not.
"""

import re
import sys
from pathlib import Path

_SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(page: str) -> list[tuple[int, str]]:
    """Line and text of each snippet."""
    return [(page[: match.start(1)].count("\n") + 1, match[1]) for match in _SNIPPET.finditer(page)]


def run_snippets(path: Path, holding: str = "", lacking: str = "") -> int:
    """How many were run. An error's traceback names the page and the line in it."""
    count = 0
    for line, text in snippets(path.read_text(encoding="utf-8")):
        if holding in text and (not lacking or lacking not in text):
            exec(compile("\n" * (line - 1) + text, str(path), "exec"), {"__name__": "__main__"})  # noqa: S102
            count += 1
    return count


if __name__ == "__main__":
    print(f"{run_snippets(Path(sys.argv[1]), *sys.argv[2:])} snippets were run")
