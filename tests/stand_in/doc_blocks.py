"""The fenced blocks of a page of the docs, and the commands in them.

A block's language decides how it is checked:

python    is run
sh        its commands are run, or checked against the existing options
console   the same for lines after `$ `; the lines below show their output
toml      is a job file
text      is not checked: a layout, a table, the output of a command
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
    """One fenced block; `line` is the number of its first line of text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line for a shell, and the output that a console block shows below it."""

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
    """The commands in a page's sentences, some of them without their arguments."""
    return _INLINE.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))


def commands(block: Block) -> Iterator[Command]:
    """The commands of a block for a shell or a console, without comments and empty lines."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        for shown in re.split(r"^\$ ", "\n".join(lines), flags=re.MULTILINE)[1:]:
            line, _, output = shown.partition("\n")
            yield Command(line.strip(), output.strip())
    else:
        yield from (Command(line.strip()) for line in lines if line.strip() and not line.startswith("#"))
