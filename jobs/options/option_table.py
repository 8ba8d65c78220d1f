"""docs/options.md, made from the options: `python -m jobs.options.option_table > docs/options.md`."""

from collections.abc import Iterable, Sequence

from jobs.options.fields import ConfigField, config_fields
from jobs.options.topics import TOPICS, topic_of
from pipeline.config import RunConfig

HEAD = """# Options of `sam-label run`

Made by `make fix` from the fields of `pipeline/config.py` and `sam_core/options.py`; edit those.

Each can be given as a flag (`--points-per-side 16`), in the environment (`SAM_LABEL_POINTS_PER_SIDE=16`) or
in a job file (`points_per_side = 16`). The flag wins over the environment, the environment over the job file.
An option without a value is a switch; its `--no-` form (`--no-refresh`) turns off what the others turned on.
An option that can be repeated is a list in a job file (`include = ["*.png", "2026/**"]`). In the
environment, separate its parts by spaces (`SAM_LABEL_INCLUDE='*.png 2026/**'`); there `?` stands for a space
inside a name.
"""
COLUMNS = "| flag | value | default | what it does |\n|---|---|---|---|"


def option_page() -> str:
    """The whole page as Markdown."""
    fields = list(config_fields(RunConfig))
    tables = dict.fromkeys(field.path[:-1] for field in fields)
    return "\n".join([HEAD, *(_section(table, fields) for table in tables)])


def _section(table: tuple[str, ...], fields: Sequence[ConfigField]) -> str:
    """The options of one table of a job file; those at its top by topic."""
    own = [field for field in fields if field.path[:-1] == table]
    if table:
        return f"## In the table `[{'.'.join(table)}]` of a job file\n\n{_rows(own)}"
    topics = (
        f"### {topic}\n\n{_rows(field for field in own if topic_of(field, RunConfig) == topic)}"
        for topic in TOPICS
    )
    return "## At the top of a job file\n\n" + "\n".join(topics)


def _rows(fields: Iterable[ConfigField]) -> str:
    return "\n".join([COLUMNS, *map(_row, fields), ""])


def _row(field: ConfigField) -> str:
    name = field.name.upper() if field.is_positional else field.flag
    value = " or ".join(field.choices) or field.placeholder or ""
    return f"| `{name}` | {value} | {field.default} | {field.info.description} |"


if __name__ == "__main__":
    print(option_page(), end="")
