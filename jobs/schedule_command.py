"""`sam-label schedule`: prints a scheduled job file as the text that a scheduler reads."""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

import typer

from jobs.options.command_options import Var
from jobs.options.job_file import is_preset, job_file, job_values
from jobs.submission.command_words import refuse_relative
from jobs.submission.cron import Cron
from jobs.submission.parsed import job_file_config
from jobs.submission.refusals import PODS, WITH_GPUS, Asked, refuse_what_cannot_run
from jobs.submission.schedule import (
    Schedule,
    airflow_dag,
    checked_name,
    slurm_script,
    systemd_units,
)
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.suggestion import suggestion

Target = Literal["kubernetes", "rayjob", "systemd", "slurm", "airflow"]
TARGETS: tuple[str, ...] = get_args(Target)

JobFile = Annotated[str, typer.Argument(metavar="JOB", help="Job file (TOML) with input and output.")]
CronLine = Annotated[
    str,
    typer.Option(
        "--cron", metavar="LINE", help="Times of the runs in UTC: five fields ('0 2 * * *'), or @daily."
    ),
]
TargetName = Annotated[
    str, typer.Option("--target", metavar="NAME", help=f"Scheduler: {', '.join(TARGETS)}.")
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="TEXT", help="Name of the schedule. Default: made from the job file's."),
]
Image = Annotated[
    str | None, typer.Option("--image", metavar="TEXT", help="Container image, for kubernetes and rayjob.")
]
Nodes = Annotated[
    int | None,
    typer.Option(
        "--nodes", metavar="N", min=1, help="Nodes with labelers, for rayjob and slurm. Default: 1."
    ),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        "--gpus", metavar="N", min=0, help="GPUs per node, for kubernetes, rayjob and slurm. Default: 0."
    ),
]
Deadline = Annotated[
    int | None,
    typer.Option(
        "--deadline",
        metavar="HOURS",
        min=1,
        help="Hours after which a run is stopped, for kubernetes and rayjob. Default: 24.",
    ),
]
WeightsClaim = Annotated[
    str | None,
    typer.Option(
        "--weights-claim",
        metavar="NAME",
        help="PersistentVolumeClaim with weights other than the bundled ones, for kubernetes and rayjob.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="Cluster that airflow submits to. Without it: its worker runs the job.",
    ),
]


def schedule(
    job: JobFile,
    cron: CronLine,
    target: TargetName,
    var: Var = None,
    name: Name = None,
    image: Image = None,
    nodes: Nodes = None,
    gpus: Gpus = None,
    deadline: Deadline = None,
    weights_claim: WeightsClaim = None,
    address: Address = None,
) -> int:
    """Print the file that makes a scheduler run a job file.

    Its first comment says how to apply it.

    Two runs of a schedule never overlap. A run that lost a node or a store is
    tried again and goes on from the output; one with wrong options is not.
    Under systemd, a run that a reboot ended goes on at the next start.
    """
    if target not in TARGETS:
        raise UsageError(
            f"--target is {target!r}: give one of {', '.join(TARGETS)}{suggestion(target, TARGETS)}"
        )
    _refuse_unused_settings(
        target,
        [
            ("--image", image, PODS),
            ("--nodes", nodes, ("rayjob", "slurm")),
            ("--gpus", gpus, WITH_GPUS),
            ("--deadline", deadline, PODS),
            ("--weights-claim", weights_claim, PODS),
            ("--address", address, ("airflow",)),
        ],
    )
    if is_preset(job):
        raise UsageError(f"{job} is a preset, which names no input; schedule a job file")
    file = job_file(job).absolute()
    config = job_file_config(file, RunConfig, var or ())
    refuse_relative(config.model_dump(), "under a scheduler")
    refuse_what_cannot_run(Asked(config, target, gpus or 0, weights_claim))
    values = job_values(str(file), RunConfig)
    planned = Schedule(
        name=checked_name(name, file),
        cron=Cron.of(cron),
        job_file=file,
        places=(str(values["input"]), str(values["output"])),
        variables=tuple(var or ()),
        own_image=image,
        nodes=nodes or 1,
        gpus=gpus or 0,
        deadline_h=deadline or 24,
        weights_claim=weights_claim,
        address=address and _checked(address),
    )
    print(_text(target, planned), end="")
    return 0


def _checked(address: str) -> str:
    from pipeline.cluster.job_server import job_server_url  # Ray loads only for this

    return job_server_url(address)


def _text(target: str, planned: Schedule) -> str:
    from jobs.submission.kubernetes import cron_job, scheduled_ray_job  # YAML loads only now

    texts = {
        "kubernetes": cron_job,
        "rayjob": scheduled_ray_job,
        "systemd": systemd_units,
        "slurm": slurm_script,
        "airflow": airflow_dag,
    }
    return texts[target](planned)


def _refuse_unused_settings(target: str, given: Sequence[tuple[str, object, Sequence[str]]]) -> None:
    """Raises UsageError for an option that the target does not use; `given`: flag, value, targets."""
    for flag, value, targets in given:
        if value is not None and target not in targets:
            raise UsageError(
                f"{flag} has no effect with --target {target}; it is for {' and '.join(targets)}"
            )
