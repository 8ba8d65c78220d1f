"""The options of a configuration model one by one: command line, job file and docs are made from them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline.errors import UsageError
from pipeline.store.uri import redacted
from pipeline.suggestion import suggestion

ENVIRONMENT_PREFIX = "SAM_LABEL_"
Config = TypeVar("Config", bound=BaseModel)


@dataclass(frozen=True)
class ConfigField:
    """One option: `path` leads to it inside the model, and its last part is its key in a job file.

    The option's name is its key, except in `[storage]`: its tables share keys, so the path is the name.
    """

    path: tuple[str, ...]
    info: FieldInfo

    @property
    def name(self) -> str:
        return "_".join(self.path) if self.path[0] == "storage" else self.path[-1]

    @property
    def key(self) -> str:
        return self.path[-1]

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> str:
        """The flag, for a switch also its `--no-` form, since a job file may have turned it on."""
        return f"{self.flag}/{self.off}" if self.is_switch else self.flag

    @property
    def off(self) -> str:
        """The flag that turns a switch off."""
        return f"--no-{self.flag[2:]}"

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def is_positional(self) -> bool:
        """Whether it is an argument of the command: it has no default and must be given."""
        return self.info.is_required()

    @property
    def is_switch(self) -> bool:
        return self._types == (bool,)

    @property
    def is_list(self) -> bool:
        """Whether the flag may be repeated; in a job file it is then a list."""
        return any(get_origin(kind) is tuple for kind in self._types)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it may have, if they can be listed."""
        return tuple(
            str(one) for kind in self._types if get_origin(kind) is Literal for one in get_args(kind)
        )

    @property
    def sentence(self) -> str:
        """What the option does, with its choices."""
        choices = f" One of {', '.join(self.choices)}." if self.choices else ""
        return f"{self.info.description}{choices}"

    @property
    def placeholder(self) -> str | None:
        """What stands for a value in help texts; None for a switch."""
        if self.is_switch:
            return None
        return "NAME" if self.choices else {int: "N", float: "X"}.get(self._types[0], "TEXT")

    @property
    def default(self) -> str:
        """The default as people read it; empty if there is none, or if it is a switch that is off."""
        default = None if self.info.is_required() else self.info.get_default(call_default_factory=True)
        if default is None or default is False:
            return ""
        if isinstance(default, tuple):
            return " ".join(map(str, default))
        return f"{default:.4g}" if isinstance(default, float) else str(default)

    def value_in(self, config: BaseModel) -> Any:
        """The option's value in a configuration of its model."""
        return reduce(getattr, self.path, config)

    @property
    def _types(self) -> tuple[Any, ...]:
        """The field's types without None; a Literal is one type."""
        annotation = self.info.annotation
        if get_origin(annotation) in (Union, UnionType):
            return tuple(part for part in get_args(annotation) if part is not NoneType)
        return (annotation,)


def config_fields(model: type[BaseModel], group: tuple[str, ...] = ()) -> Iterator[ConfigField]:
    """Every option of a model, those of nested models included, in the order of the source."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from config_fields(info.annotation, (*group, name))
        else:
            yield ConfigField((*group, name), info)


def config_from(
    model: type[Config], values: Mapping[str, object], place: Callable[[ConfigField], str]
) -> Config:
    """The model filled with the given values (None: not given); `place` says where a value came from.

    Raises: UsageError: a value is missing, out of its range or of another type.
    """
    fields = {field.path: field for field in config_fields(model)}
    tree: dict[str, Any] = {}
    for field in fields.values():
        if values.get(field.name) is not None:
            branch = tree
            for part in field.path[:-1]:
                branch = branch.setdefault(part, {})
            branch[field.key] = values[field.name]
    try:
        return model.model_validate(tree)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        known = fields.get(tuple(str(part) for part in first["loc"]))
        raise UsageError(_sentence(first, place(known) if known else None)) from None


def _sentence(error: ErrorDetails, place: str | None) -> str:
    reason = error["msg"].removeprefix("Value error, ")
    if place is None:
        return reason
    if error["type"] == "missing":
        return f"{place} is missing: give it on the command line or in a job file"
    given = error["input"]
    choices = str(error.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
    shown = redacted(given) if isinstance(given, str) else given
    hint = suggestion(str(given), filter(None, choices))
    return f"{place} is {shown!r}: {reason[0].lower()}{reason[1:]}{hint}"
