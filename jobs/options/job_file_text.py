"""Job files as text: one with every option commented out, one with given values, and their JSON Schema."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from textwrap import wrap
from typing import Any

from jobs.options.fields import ConfigField, config_fields
from jobs.options.topics import topic_of
from pipeline.config import RunConfig
from pipeline.store.uri import UNPRINTABLE

INIT_HEAD = """\
# A job file of sam-label: `sam-label run --config {name}`. Flags and SAM_LABEL_* variables win over it.
# Options that are commented out have their defaults. Write no secrets here: set them in the environment.
# `sam-label config schema > sam-label.schema.json` lets an editor check it; its first line then is
# #:schema ./sam-label.schema.json

"""
WIDTH = 100
EXAMPLES = {
    "input": '"s3://photos/${DATE-1d}"  # yesterday\'s; also YEAR, MONTH, DAY, HOUR, and --var NAME=VALUE',
    "output": '"s3://masks/${DATE-1d}"',
    "max_failures": '"5%"',
    "checkpoint": '"weights/sam.safetensors"',
    "model": '"vit_t"',
    "input_format": '"csv"',
    "uri_column": '"url"',
    "id_column": '"photo_id"',
    "keep_columns": '"split,caption"',
    "image_column": '"image"',
    "images_per_block": "8",
    "bands": '"4,3,2"',
    "nodata": "0",
    "sample": "1000",
    "shard": '"1/3"',
    "limit": "100",
    "workers": "1",
    "address": '"auto"',
    "webhook": '"https://example.com/labelled"  # one whose path is a secret belongs in SAM_LABEL_WEBHOOK',
    "endpoint_url": '"https://minio.example.com:9000"',
    "region": '"eu-west-1"',
    "profile": '"work"',
    "ca_bundle": '"/etc/ssl/ours.pem"',
    "requester_pays": "true",
    "addressing_style": '"path"',
}


def commented_job_file(name: str) -> str:
    """A job file that sets nothing and names every option, with its help and its default."""

    begun: set[str | None] = set()

    def lines(field: ConfigField) -> Iterator[str]:
        topic = topic_of(field, RunConfig)
        if len(field.path) == 1 and topic not in begun:
            begun.add(topic)
            yield f"# ---- {topic} ----"
            yield ""
        default = field.info.get_default(call_default_factory=True)
        value = EXAMPLES[field.key] if field.key in EXAMPLES else toml_value(default)
        yield from (f"# {line}" for line in wrap(field.sentence, WIDTH, break_on_hyphens=False))
        yield f"# {field.key} = {value}"
        yield ""

    return INIT_HEAD.format(name=name) + _by_table(lines).strip() + "\n"


def job_file_of(values: Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """A job file that sets these values by option name, each with its note; a None becomes a comment."""

    def lines(field: ConfigField) -> Iterator[str]:
        value, note = values[field.name], notes.get(field.name)
        line = f"# {field.key} is not set" if value is None else f"{field.key} = {toml_value(value)}"
        yield f"{line}  # {note}" if note else line

    return _by_table(lines).strip() + "\n"


def job_file_schema() -> dict[str, Any]:
    """The JSON Schema of a job file. Nothing is required in it, since the command line may give the rest."""
    schema = RunConfig.model_json_schema()
    schema.pop("required", None)
    schema |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Job file of sam-label",
        "description": "The options of `sam-label run` by name.",
    }
    return schema


def toml_value(value: object) -> str:
    """A text, number or switch as TOML writes it."""
    if isinstance(value, str):
        written = json.dumps(value, ensure_ascii=False)
        return UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", written)
    return json.dumps(value)


def _by_table(lines: Callable[[ConfigField], Iterable[str]]) -> str:
    """The lines of each option; those of a group follow the name of its table."""
    written: list[str] = []
    table: tuple[str, ...] = ()
    for field in sorted(config_fields(RunConfig), key=lambda field: field.path[:-1]):
        if field.path[:-1] != table:
            table = field.path[:-1]
            written += ["", f"[{'.'.join(table)}]"]
        written += lines(field)
    return "\n".join(written)
