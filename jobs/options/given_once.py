"""Refuses an option with one value that is given several times: all values but the last would be dropped."""

from typing import Any

from typer.core import TyperCommand, TyperOption

from pipeline.errors import UsageError


class GivenOnce(TyperCommand):
    """A command whose options stand once, except lists and switches: --no-refresh may follow --refresh."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments that are left. Raises: UsageError."""
        words = list(args)  # the parser takes words out of its list
        left = super().parse_args(ctx, args)  # --help ends the command here
        if ctx.resilient_parsing:  # the shell asks how the line can go on
            return left
        *_, given = self.make_parser(ctx).parse_args(args=words)
        for option in given:
            if isinstance(option, TyperOption) and not option.multiple and not option.is_flag:
                refuse_repeated(option.opts[0], given.count(option))
        return left


def refuse_repeated(option: str, times: int) -> None:
    """Raises UsageError if an option that has one value is given more than once."""
    if times > 1:
        raise UsageError(f"{option} is given {times} times; give it once")
