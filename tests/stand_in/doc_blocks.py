"""The fenced blocks of a page of the docs, and the commands in them.

A block's language says how it is checked:

python    is run
sh        its commands are run, or held against the options that there are
console   the same for lines after `$ `; below them stands what they print
toml      is a job file
text      there is nothing to check: a layout, a table, what a command prints
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("python", "sh", "console", "toml", "json", "yaml", "text")
_FENCED = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(sam-label [a-z][^`]*)`")


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is that of its first line of text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line for a shell, and what a console block shows below it."""

    line: str
    shown: str = ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text[: match.start("text")].count("\n") + 1, match["language"].strip(), match["text"])
        for match in _FENCED.finditer(text)
    ]


def inline_commands(page: Path) -> list[str]:
    """The commands that a page's sentences name, some of them without their arguments."""
    return _INLINE.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))


def commands(block: Block) -> Iterator[Command]:
    """The commands of a block for a shell or a console; comments and empty lines are none."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        for shown in re.split(r"^\$ ", "\n".join(lines), flags=re.MULTILINE)[1:]:
            line, _, output = shown.partition("\n")
            yield Command(line.strip(), output.strip())
    else:
        yield from (Command(line.strip()) for line in lines if line.strip() and not line.startswith("#"))
