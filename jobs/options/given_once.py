"""Refuses an option with one value that is given several times: all values but the last would be dropped."""

from typing import Any

from typer.core import TyperCommand, TyperOption

from pipeline.errors import UsageError


class GivenOnce(TyperCommand):
    """A command whose options stand once, except lists and switches: --no-refresh may follow --refresh."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments that are left. Raises: UsageError."""
        *_, given = self.make_parser(ctx).parse_args(args=list(args))  # it takes words out of its list
        for option in given:
            has_one_value = isinstance(option, TyperOption) and not option.multiple and not option.is_flag
            if has_one_value and given.count(option) > 1:
                raise UsageError(f"{option.opts[0]} is given {given.count(option)} times; give it once")
        return super().parse_args(ctx, args)
