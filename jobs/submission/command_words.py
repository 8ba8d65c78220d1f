"""Turns a configuration into a command for another machine, where relative paths mean nothing."""

import re
from pathlib import PurePosixPath
from typing import Any

from jobs.options.fields import ConfigField, config_fields
from jobs.options.secret_values import kind_of_secret
from jobs.options.variables import escaped
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.store.uri import has_secret

OF_THIS_MACHINE = {"address"}  # the run is on the cluster that it is submitted to
PLACES = ("input", "output", "checkpoint")


def run_words(config: RunConfig) -> list[str]:
    """`sam-label run` with the options that are not at their defaults. Raises: UsageError."""
    options, places = [], []
    for field in config_fields(RunConfig):
        value = field.value_in(config)
        if isinstance(value, str) and (has_secret(value) or kind_of_secret(value)):
            raise UsageError(
                f"{field.name} contains a secret, which anyone who lists the cluster's jobs could read; set "
                f"{field.variable} on the cluster instead"
            )
        if field.is_positional:
            places.append(escaped(str(value)))
        elif field.name not in OF_THIS_MACHINE and value != field.info.get_default(call_default_factory=True):
            options += _option_words(field, value)
    return ["sam-label", "run", *options, "--", *places]


def _option_words(field: ConfigField, value: Any) -> list[str]:
    if field.is_switch:
        return [field.flag if value else field.off]
    return [f"{field.flag}={one}" for one in (value if field.is_list else [value])]


def refuse_relative(values: dict[str, Any], where: str) -> None:
    """Raises UsageError for a place that depends on the folder in which this command was started."""
    for name in PLACES:
        place = values.get(name)
        is_url = isinstance(place, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", place)
        if isinstance(place, str) and not is_url and not PurePosixPath(place).is_absolute():
            raise UsageError(
                f"{name} is {place!r}, a relative path, which does not work {where}; give a URL, or an "
                "absolute path that exists on its machines"
            )
