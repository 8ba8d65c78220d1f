"""A scheduled job file, and its text for each kind of scheduler."""

import getpass
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from jobs.options.variables import FORMATS, names_in
from jobs.submission.cron import Cron
from pipeline.errors import UsageError
from sam_core import __version__

TEMPLATES = Path(__file__).parent / "templates"
MOST_OF_A_NAME = 38  # a RayJob's may have 47, and each run adds nine for its minute
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_PREFIX = "sam-label-"
_OF_A_FILE = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)\.toml")  # no two files give the same name


@dataclass(frozen=True)
class Schedule:
    """What runs, when, and on which machines; `variables` are NAME=VALUE."""

    name: str
    cron: Cron
    job_file: Path  # absolute
    places: tuple[str, ...]  # INPUT and OUTPUT, with their variables
    variables: tuple[str, ...] = ()
    own_image: str | None = None
    nodes: int = 1
    gpus: int = 0  # a node
    deadline_h: int = 24  # hours after which a run is ended
    weights_claim: str | None = None  # a PersistentVolumeClaim with weights
    address: str | None = None  # the job server of a running cluster

    @property
    def image(self) -> str:
        """The image named, else the one that infra/Dockerfile makes."""
        return self.own_image or f"sam-label:{__version__}-{'cuda' if self.gpus else 'cpu'}"

    @property
    def job_text(self) -> str:
        return self.job_file.read_text(encoding="utf-8")

    @property
    def options(self) -> list[str]:
        """The variables as options of `run`."""
        return [word for variable in self.variables for word in ("--var", variable)]

    @property
    def is_dated(self) -> bool:
        """Whether the places name the time of the run, and `variables` does not set it."""
        given = {variable.partition("=")[0] for variable in self.variables}
        return bool(names_in(self.places) & FORMATS.keys() - given) and "DATE" not in given


def checked_name(name: str | None, job_file: Path) -> str:
    """The name of the schedule, else one made of the job file's. Raises: UsageError."""
    if name is None:
        own = _OF_A_FILE.fullmatch(job_file.name)
        most = MOST_OF_A_NAME - len(_PREFIX)
        if own is None or len(own[1]) > most:
            raise UsageError(
                f"{job_file.name!r} cannot name the schedule, because its name before .toml is not at most "
                f"{most} small letters, digits and single hyphens; give --name"
            )
        return _PREFIX + own[1]
    if len(name) > MOST_OF_A_NAME or not _NAME.fullmatch(name):
        raise UsageError(
            f"--name is {name!r}: give at most {MOST_OF_A_NAME} small letters, digits and hyphens, which "
            "every scheduler accepts"
        )
    return name


def systemd_units(schedule: Schedule) -> str:
    """A service and a timer, each after a line with the name of its file."""
    name = schedule.name
    apply = (
        f"# Apply: save this as {name}.units, then: sudo awk '/^# file: /{{file=$3}} file{{print > file}}' "
        f"{name}.units && sudo systemctl daemon-reload && sudo systemctl enable --now {name}.timer"
    )
    arguments = ["run", "--config", str(schedule.job_file), *schedule.options]
    command = [str(_own_command()), *(argument.replace("$", "$$") for argument in arguments)]
    return _filled(
        "systemd.units",
        APPLY=apply,
        NAME=name,
        USER=getpass.getuser(),
        ENVIRONMENT="".join(f"Environment={_systemd_word(variable)}\n" for variable in _environment()),
        COMMAND=" ".join(map(_systemd_word, command)),
        CALENDARS="\n".join(f"OnCalendar={calendar}" for calendar in schedule.cron.calendars),
    )


def slurm_script(schedule: Schedule) -> str:
    """An sbatch script that starts one Ray over the nodes of its allocation."""
    dated = r" --var DATE=$(date -u +\%FT\%H)" if schedule.is_dated else ""
    apply = (
        f"# Apply: save this as {schedule.name}.sbatch on a login node, and add to `crontab -e` (in UTC): "
        f"{schedule.cron} sbatch --parsable $HOME/{schedule.name}.sbatch{dated}"
    )
    return _filled(
        "slurm.sbatch",
        APPLY=apply,
        NAME=schedule.name,
        ENVIRONMENT=_slurm_environment(),
        NODES=str(schedule.nodes),
        GPUS=f"#SBATCH --gpus-per-node={schedule.gpus}\n" if schedule.gpus else "",
        JOB_FILE=shlex.quote(str(schedule.job_file)),
        OPTIONS=shlex.join(schedule.options),
    )


def airflow_dag(schedule: Schedule) -> str:
    """A module with a DAG of one task, which runs the command, or submits it if there is an address."""
    job = str(schedule.job_file)
    submit = ["sam-label", "submit", job, "--follow", "--stop-on-term", "--address", schedule.address or ""]
    command = submit if schedule.address else ["sam-label", "run", "--config", job]
    apply = (
        f"# Apply: save this as {schedule.name}.py in the DAG folder of Airflow 2.9 or newer, whose workers "
        "have sam-label and this job file"
    )
    return _filled(
        "airflow.py.txt",
        APPLY=apply,
        NAME=schedule.name,
        CRON=str(schedule.cron),
        DATED=str(schedule.is_dated),
        COMMAND=repr([*command, *schedule.options]),
    )


def _own_command() -> Path:
    """The `sam-label` beside this Python, else the one that was started, as with `pip install --user`."""
    beside = _own_python_folder() / "sam-label"
    is_started = Path(sys.argv[0]).name == beside.name
    started = shutil.which(sys.argv[0] if is_started else beside.name)
    return Path(started).absolute() if started and not beside.exists() else beside


def _own_python_folder() -> Path:
    return Path(sys.prefix) / "bin"


def _slurm_environment() -> str:
    """Tells a batch job that cron starts where this sam-label and its weights are."""
    folders = dict.fromkeys([_own_python_folder(), _own_command().parent])
    path = f"export PATH={shlex.quote(':'.join(map(str, folders)))}:$PATH"
    return "\n".join([path, *(f"export {shlex.quote(variable)}" for variable in _environment())])


def _environment() -> list[str]:
    """NAME=VALUE for what cron and systemd do not have from this shell: where the weights are."""
    cache = os.environ.get("SAM_LABEL_CACHE")
    return [f"SAM_LABEL_CACHE={Path(cache).expanduser().absolute()}"] if cache else []


def _filled(template: str, **values: str) -> str:
    """The template with each @NAME@ replaced, in one pass: a value that looks like @NAME@ stays."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda name: values[name[1]], text)


def _systemd_word(word: str) -> str:
    """A word of a unit, with quotes, backslashes and % escaped; $ is special in arguments alone.

    Raises: UsageError.
    """
    if re.search(r"[\x00-\x1f\x7f]", word):
        raise UsageError(
            f"{word!r} holds a control character, which a systemd unit cannot contain; rename it"
        )
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
