"""Runs a page's Python snippets, each in its own namespace: `python doc_snippets.py PAGE [WITH [WITHOUT]]`.

Only snippets that contain the words WITH and do not contain WITHOUT are run.
"""

import ast
import subprocess
import sys
import tempfile
from pathlib import Path

from doc_blocks import Block, blocks

# A snippet with these words is run as a file: worker processes that are not forked import it.
SCRIPT = 'if __name__ == "__main__":'
RAY = "ray.init"  # in a snippet that starts Ray
# In a snippet with these words only the imports are run.
IMPORTS_ALONE = {"sam_model_registry[": "a model's minute at an image: tests/integration/test_library_use.py"}
# A snippet with these words is only compiled.
COMPILED_ALONE = {"import fiftyone": "its pins cannot be had beside ours"}


def run_snippet(block: Block) -> None:
    """Runs the block. An error's traceback names the page and the line in it."""
    text = "\n" * (block.line - 1) + block.text
    if SCRIPT in block.text:
        _run_script(f"snippet_of_{block.page.stem}.py", text)
        return
    tree = ast.parse(text, str(block.page))
    if any(words in block.text for words in COMPILED_ALONE):
        tree.body = []
    if any(words in block.text for words in IMPORTS_ALONE):
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(tree, str(block.page), "exec"), {"__name__": "__main__"})  # noqa: S102  the page's own text


def _run_script(name: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, name)
        script.write_text(text, encoding="utf-8")
        subprocess.run([sys.executable, script], check=True)


def run_snippets(page: Path, holding: str = "", lacking: str = "") -> int:
    """Runs the chosen snippets and returns how many there were."""
    chosen = [
        block
        for block in blocks(page)
        if block.language == "python" and holding in block.text and not (lacking and lacking in block.text)
    ]
    for block in chosen:
        run_snippet(block)
    return len(chosen)


if __name__ == "__main__":
    print(f"{run_snippets(Path(sys.argv[1]), *sys.argv[2:])} snippets were run")
