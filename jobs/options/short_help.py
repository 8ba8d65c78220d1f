"""Help without columns for the `--no-` forms and the types of switches.

In a terminal of 80 columns these two would leave 17 columns for the sentences of `run --help`.
"""

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from jobs.options.given_once import GivenOnce


def _shorten(command: TyperCommand | TyperGroup, context: typer.Context) -> None:
    """Changes the options for good: Typer makes them anew for each call."""
    # Typer keeps the line ends of all paragraphs but the first, as they are in the source
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")
    for option in command.get_params(context):
        if isinstance(option, TyperOption):
            option.secondary_opts = []
            if option.is_flag:
                option.metavar = ""


class ShortHelp(GivenOnce):
    """A command whose help is shortened, with options that are given once."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        _shorten(self, ctx)
        super().format_help(ctx, formatter)


class ShortHelpGroup(TyperGroup):
    """A group of commands whose help is shortened."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        _shorten(self, ctx)
        super().format_help(ctx, formatter)
