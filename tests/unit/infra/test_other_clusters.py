"""The Dockerfile and the clusters for compose, EC2 and Slurm: each against its tool's own rules."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from yamllint import linter
from yamllint.config import YamlLintConfig

from sam_core import __version__

ROOT = Path(__file__).parents[3]
INFRA = ROOT / "infra"
HADOLINT = Path(sys.executable).with_name("hadolint")
YAML_FILES = sorted(path for path in INFRA.rglob("*.y*ml"))
LINT = YamlLintConfig(
    """
extends: default
rules:
  document-start: disable
  line-length: {max: 120}
  comments: {min-spaces-from-content: 1}
  comments-indentation: disable
  braces: {max-spaces-inside: 0}
"""
)


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return loaded


def aws() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((INFRA / "aws" / "cluster.yaml").read_text())
    return loaded


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: str(path.relative_to(INFRA)))
def test_yaml_is_clean(path: Path) -> None:
    assert [str(problem) for problem in linter.run(path.read_text(), LINT)] == []


@pytest.mark.parametrize(
    "path", [path for path in INFRA.rglob("*") if path.is_file()], ids=lambda path: path.name
)
def test_the_version_is_the_packages(path: Path) -> None:
    assert set(re.findall(r"sam-label:(\d[\w.]*)-c", path.read_text())) <= {__version__}


def test_hadolint_has_nothing_to_say() -> None:
    said = subprocess.run([HADOLINT, INFRA / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (said.stdout, said.returncode) == ("", 0)


def test_the_image_is_built_from_what_a_wheel_is_made_of() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"pyproject.toml", "setup.py", "MANIFEST.in", "constraints.txt", "README.md", "LICENSE"} <= sent
    assert {"sam_label", "sam_core", "pipeline", "jobs"} <= sent
    assert all((ROOT / name).exists() for name in sent)


def test_the_image_asks_for_the_extras_that_there_are() -> None:
    dockerfile = (INFRA / "Dockerfile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"extras\['(\w+)'\]", dockerfile)) == {"cluster", "gcs"} <= extras.keys()


def test_the_image_lists_its_requirements(tmp_path: Path) -> None:
    """Runs the Dockerfile's own line of Python."""
    [line] = re.findall(r'^RUN (\["python".*\])$', (INFRA / "Dockerfile").read_text(), re.MULTILINE)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    subprocess.run([sys.executable, *json.loads(line)[1:]], cwd=tmp_path, check=True, timeout=60)
    listed = (tmp_path / "requirements.txt").read_text().splitlines()
    assert {"ray[data]>=2.60,<3", "ray[default]>=2.60,<3", "google-cloud-storage>=3.4"} <= set(listed)


def test_the_image_runs_as_any_user_but_root_from_pinned_bases() -> None:
    dockerfile = (INFRA / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", dockerfile, re.MULTILINE))
    assert {"cpu", "cuda"} <= stages
    for base in set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) - stages:
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+\S*", base)
    for target in ("cpu", "cuda"):
        lines = dockerfile.partition(f" AS {target}\n")[2].partition("FROM ")[0].strip().splitlines()
        assert lines[-1] == "USER 65532:65532"


def test_compose_nodes_are_read_only_and_take_their_token_from_outside() -> None:
    services = compose()["services"]
    assert services.keys() == {"head", "worker", "run"}
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["shm_size"]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
    assert "--num-cpus=0" in services["head"]["entrypoint"]


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a built wheel, and a home with a token: `ray up` copies both to the machines."""
    (tmp_path / "dist").mkdir()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ray_takes_the_cluster_on_ec2(laptop: Path) -> None:
    validate_config(prepare_config(aws()))


def test_ray_would_refuse_a_slip(laptop: Path) -> None:
    wrong = deepcopy(aws())
    wrong["idle_timeout"] = 3
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config(wrong))


def test_on_ec2_only_the_head_is_on_demand() -> None:
    types = aws()["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["labeler"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "token" in " ".join(aws()["setup_commands"])


# Sends the batch script a signal, once USR1 and TERM are trapped: SigCgt says that. It ends with its caller.
SIGNALLED = """
until [ $((0x$(awk '/SigCgt/ {print $2}' /proc/$1/status) & 0x4200)) = $((0x4200)) ]; do
  kill -0 $1 || exit
done
kill -$2 $1
while kill -0 $PPID; do sleep 0.1; done
"""


def slurm(
    tmp_path: Path, exit_code: int, restarts: int = 0, run: str = "", waiting: str = ""
) -> tuple[int, list[str]]:
    """The batch script's exit code and its calls, with stand-ins for the cluster's programs."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, does in {
        "srun": 'while [ "${1#-}" != "$1" ]; do shift; done; "$@"',
        "ray": "exit 0",
        "scontrol": "exit 0",
        "scancel": "exit 0",
        "signalled": SIGNALLED,
        "python": f'case "$1" in -c) echo 10.0.0.7;; *) cat >/dev/null; {waiting};; esac',
        "sam-label": f"{run}\nexit {exit_code}",
    }.items():
        program = bin_folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{tmp_path}/calls"\n{does}\n')
        program.chmod(0o755)
    environment = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "70042",
        "SLURM_JOB_NUM_NODES": "4",
        "SLURMD_NODENAME": "n1",
        "SLURM_RESTART_COUNT": str(restarts),
    }
    script = INFRA / "slurm" / "sam-label.sbatch"
    nowhere = subprocess.DEVNULL
    done = subprocess.run(
        ["bash", script, "job.toml"], env=environment, stdout=nowhere, stderr=nowhere, timeout=60
    )
    return done.returncode, (tmp_path / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("code", "restarts", "is_again"),
    [(0, 0, False), (2, 0, False), (3, 0, False), (1, 0, True), (130, 2, True), (1, 3, False)],
)
def test_slurm_tries_again_what_may_be_mended(
    tmp_path: Path, code: int, restarts: int, is_again: bool
) -> None:
    ended, calls = slurm(tmp_path, code, restarts)
    assert ended == code
    assert ("scontrol requeue 70042" in calls) == is_again


@pytest.mark.parametrize(("name", "is_again"), [("USR1", True), ("TERM", False)])
def test_slurm_tries_again_after_its_time_limit_and_not_after_scancel(
    tmp_path: Path, name: str, is_again: bool
) -> None:
    run = f"trap 'exit 130' TERM\nsignalled $PPID {name} &\nwait"
    ended, calls = slurm(tmp_path, 0, run=run)
    assert ended == 130
    assert ("scontrol requeue 70042" in calls) == is_again


def test_slurm_tries_again_if_the_time_is_over_before_ray_has_started(tmp_path: Path) -> None:
    ended, calls = slurm(tmp_path, 0, waiting="signalled $(ps -o ppid= $PPID) USR1")
    assert ended == 128 + signal.SIGTERM
    assert "scontrol requeue 70042" in calls
    assert not [call for call in calls if call.startswith("sam-label")]


def test_slurm_ends_ray_after_the_run(tmp_path: Path) -> None:
    assert "scancel --signal=TERM 70042" in slurm(tmp_path, 0)[1]


def test_slurm_spreads_one_ray_over_the_nodes(tmp_path: Path) -> None:
    _, calls = slurm(tmp_path, 0)
    [head, workers] = sorted(
        (call for call in calls if call.startswith("srun")), key=lambda it: "--exclude" in it
    )
    assert "--nodelist=n1" in head
    assert "--nodes=3 --ntasks=3 --exclude=n1" in workers
    [head, workers] = sorted(call for call in calls if call.startswith("ray start"))[::-1]
    assert head.startswith("ray start --head")
    assert "--port=20042" in head
    assert workers == "ray start --address=10.0.0.7:20042 --block"
    assert "sam-label run --config job.toml --address 10.0.0.7:20042" in calls


def test_the_python_of_the_batch_script_is_python() -> None:
    script = (INFRA / "slurm" / "sam-label.sbatch").read_text()
    [waiting] = re.findall(r"<<'PYTHON'.*?\n(.*?)^PYTHON$", script, re.MULTILINE | re.DOTALL)
    compile(waiting, "sam-label.sbatch", "exec")


def test_slurm_without_a_job_file_says_how(tmp_path: Path) -> None:
    script = INFRA / "slurm" / "sam-label.sbatch"
    done = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "sbatch sam-label.sbatch JOB.toml" in done.stderr
