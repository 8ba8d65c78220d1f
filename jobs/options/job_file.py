"""Job files: TOML with the option names of the command line, a group (`[mask]`) in a table of its name.

A job file holds no secrets: credentials come from the environment, a profile or a role.
"""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from jobs.options.fields import config_fields
from pipeline.errors import UsageError
from pipeline.suggestion import suggestion

PRESETS = Path(__file__).parents[1] / "presets"


def job_values(name: str, model: type[BaseModel]) -> dict[str, object]:
    """The values that a job file, or the preset of that name, gives to options of the model, by option name.

    Raises: UsageError: no such file, not TOML, or a key that is no option.
    """
    try:
        tree = tomllib.loads(_job_file(name).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise UsageError(f"{name} is not a TOML job file: {wrong}") from None
    given = dict(_leaves(tree, ()))
    known = {field.path: field.name for field in config_fields(model)}
    for path in given.keys() - known.keys():
        # the likeliest mistake is a right name in the wrong table
        dotted = [".".join(option) for option in known]
        same_name = [option for option in dotted if option.split(".")[-1] == path[-1]]
        hint = f"; it belongs to {same_name[0]}" if same_name else suggestion(".".join(path), dotted)
        raise UsageError(f"{name} sets {'.'.join(path)}, which is no option{hint}")
    return {known[path]: value for path, value in given.items()}


def _job_file(name: str) -> Path:
    preset = PRESETS / f"{name}.toml"
    path = Path(name)
    if path.is_file():
        return path
    if preset.is_file():
        return preset
    presets = sorted(preset.stem for preset in PRESETS.glob("*.toml"))
    raise UsageError(f"there is no job file {name}, and no preset of that name ({', '.join(presets)})")


def _leaves(tree: dict[str, Any], group: tuple[str, ...]) -> Any:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*group, key))
        else:
            yield (*group, key), value
