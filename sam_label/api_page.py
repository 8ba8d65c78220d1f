"""docs/api.md, made from the docstrings: `python -m sam_label.api_page > docs/api.md`."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from pydantic import BaseModel

import sam_label

HEAD = """# The names of `sam_label`

Made by `make fix` from the docstrings; edit those. How they are used: [reading.md](reading.md) and the
[README](../README.md#in-python).

`import sam_label` loads neither Ray nor torch; each name imports what it needs on first use. The names on
this page and their meaning are stable; the modules behind `sam_label` may change.
"""
# classes of the objects that the names above return
GIVEN = {
    "StreamedImages": "pipeline.reading.torch_data",
    "IndexedImages": "pipeline.reading.torch_data",
    "Loader": "pipeline.reading.loader",
    "FeedOptions": "pipeline.reading.feed",
    "ImageMasks": "sam_core.masks.image_masks",
    "Similar": "pipeline.similarity.similar",
    "Neighbour": "pipeline.similarity.similar",
}
# nobody makes these by calling the class
_NOT_CALLED = {"Dataset", "Record", *GIVEN}


def api_page() -> str:
    """The whole page as Markdown."""
    named = ((name, getattr(sam_label, name)) for name in sam_label.__all__)
    given = ((name, getattr(import_module(home), name)) for name, home in GIVEN.items())
    return "\n".join(
        [
            HEAD,
            *(_entry(name, value) for name, value in named),
            "# What they give out\n",
            *(_entry(name, value) for name, value in given),
        ]
    )


def _entry(name: str, value: Any) -> str:
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return f"## `{name}`\n\n{_about(value)}\n"
    if inspect.isclass(value) and issubclass(value, BaseModel):
        fields = "Fields, ranges and defaults: [options.md](options.md)."
        return f"## `{name}`\n\n{inspect.getdoc(value)}\n\n{fields}\n"
    call = "" if name in _NOT_CALLED else _signature(value)
    title = f"## `{name}{call}`\n\n{inspect.getdoc(value)}\n"
    members = _members(value) if inspect.isclass(value) else iter(())
    return "\n".join([title, *members])


def _members(cls: type) -> Iterator[str]:
    """The public methods and properties that the class itself defines, in the order of the source."""
    for name, member in vars(cls).items():
        is_public = not name.startswith("_") or name in ("__getitem__", "__iter__", "__len__")
        function = getattr(member, "__func__", None) or getattr(member, "func", None) or member
        is_property = isinstance(member, property) or hasattr(member, "attrname")
        if not is_public or not (is_property or inspect.isfunction(function)):
            continue
        text = inspect.getdoc(member)
        if text:
            yield f"### `{name}{'' if is_property else _signature(function)}`\n\n{text}\n"


def _signature(value: Any) -> str:
    """The signature without annotations: they repeat the text at three times the length."""
    if inspect.isclass(value) and issubclass(value, BaseException):
        return ""
    signature = inspect.signature(value)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty, default=_shown(parameter.default))
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def _shown(default: Any) -> Any:
    """A default whose repr is the same in every process."""
    return Ellipsis if inspect.isfunction(default) else default


def _about(value: Any) -> str:
    if isinstance(value, str):
        return "The version of this package."
    keys = ", ".join(f"`{key}`" for key in value)
    return f"A dictionary with the keys {keys}: what builds that model from a checkpoint."


if __name__ == "__main__":
    print(api_page(), end="")
