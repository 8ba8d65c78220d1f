"""Job files: TOML with the option names of the command line; a group of options is a table (`[mask]`).

A job file holds no secrets: credentials come from the environment, a profile or a role. A preset is a job
file that comes with sam-label and is named without a path; its first line, a comment, says what it is for.
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from jobs.options.fields import ConfigField, config_fields
from jobs.options.secret_values import kind_of_secret, refuse_secrets
from pipeline.errors import UsageError
from pipeline.suggestion import suggestion

PRESETS = Path(__file__).parents[1] / "presets"


def job_values(name: str, model: type[BaseModel]) -> dict[str, object]:
    """The values that a job file, or the preset of that name, sets for options of the model, by option name.

    Raises: UsageError: no such file, not TOML, a secret, or a key that is no option.
    """
    try:
        # Windows editors begin a file with a byte order mark.
        text = job_file(name).read_text(encoding="utf-8-sig")
        refuse_secrets(name, text)
        tree = tomllib.loads(text)
    except ValueError as wrong:  # not TOML, not UTF-8, or a number with thousands of digits
        raise UsageError(f"{name} is not a TOML job file: {wrong}") from None
    given = dict(_leaves(tree, ()))
    for path, value in given.items():  # again: TOML can spell a value with escapes
        if kind := kind_of_secret(str(value)):
            raise UsageError(f"{name} sets {'.'.join(path)} to what looks like {kind}: remove it")
    known = {field.path: field for field in config_fields(model)}
    for path in given.keys() - known.keys():
        # the likeliest mistake is a right name in the wrong table
        dotted = [".".join(option) for option in known]
        same_name = [option for option in dotted if option.split(".")[-1] == path[-1]]
        hint = f"; it belongs to {same_name[0]}" if same_name else suggestion(".".join(path), dotted)
        raise UsageError(f"{name} sets {'.'.join(path)}, which is not an option{hint}")
    for path, value in given.items():
        if fault := _wrong_kind(known[path], value):
            raise UsageError(f"{known[path].name} in {name} is {value!r}: {fault}")
    return {known[path].name: value for path, value in given.items()}


def _wrong_kind(field: ConfigField, value: object) -> str:
    """What to write in place of a value that Typer would misread; empty if the model checks the value."""
    if field.is_list:
        is_list_of_text = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return "" if is_list_of_text else f'give a list of texts, such as {field.key} = ["*.png"]'
    if field.is_switch:
        return "" if isinstance(value, bool) else "give true or false"
    return "give one value, not a list" if isinstance(value, list) else ""


def job_file(name: str) -> Path:
    """The job file at a path, or the preset of that name. Raises: UsageError if there is neither."""
    path = Path(name)
    if path.is_file():
        return path
    if is_preset(name):
        return PRESETS / f"{name}.toml"
    raise UsageError(
        f"there is no job file {name}, and no preset of that name ({', '.join(presets())}; `sam-label "
        "config init` writes a job file)"
    )


def is_preset(name: str) -> bool:
    """Whether the name means a preset; a file of the same name takes precedence."""
    return not Path(name).is_file() and name in presets()


def presets() -> dict[str, str]:
    """What each preset is for, by name."""
    return {
        path.stem: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        for path in sorted(PRESETS.glob("*.toml"))
    }


def _leaves(tree: dict[str, Any], group: tuple[str, ...]) -> Any:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*group, key))
        else:
            yield (*group, key), value
