"""The command line parses every `sam-label` command that a file in infra/ runs or that its docs show."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from doc_commands import parse
from kustomized import KUBERNETES, Manifest, composed, rendered

import jobs.run_command
from jobs.cli import app
from pipeline.config import RunConfig

ROOT = Path(__file__).parents[3]
PAGES = [
    *(ROOT / "docs" / f"{page}.md" for page in ("kubernetes", "slurm", "aws")),
    ROOT / "infra" / "README.md",
]
JOB_FILE = "/etc/sam-label/job.toml"


def parsed(command: list[str]) -> None:
    """Parses it; raises typer.TyperException for a command, an option or a value that does not exist."""
    assert command[0] == "sam-label"
    parse(command[1:])


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


@pytest.mark.parametrize("overlay", sorted(KUBERNETES.glob("overlays/*")), ids=lambda path: path.name)
def test_the_run_of_an_overlay_takes_its_job_file(
    overlay: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifests = rendered(overlay)
    [ray_job] = of_kind(manifests, "RayJob")
    [config_map] = of_kind(manifests, "ConfigMap")
    volumes = ray_job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    assert {"name": "job", "configMap": {"name": config_map["metadata"]["name"]}} in volumes
    (tmp_path / "job.toml").write_text(config_map["data"]["job.toml"])
    configs: list[RunConfig] = []
    monkeypatch.setattr(jobs.run_command, "_label", lambda config, _: configs.append(config))
    command = shlex.split(ray_job["spec"]["entrypoint"])
    assert JOB_FILE in command
    arguments = [str(tmp_path / "job.toml") if word == JOB_FILE else word for word in command[1:]]
    app(arguments, prog_name=command[0], standalone_mode=False)
    [config] = configs
    assert config.address == "auto"


def test_pods_run_commands_that_there_are() -> None:
    manifests = composed("schedule", "weights")
    [pull] = of_kind(manifests, "Job")
    parsed(pull["spec"]["template"]["spec"]["containers"][0]["command"])
    [schedule] = of_kind(manifests, "CronJob")
    [container] = schedule["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    python, option, module = container["command"]
    assert (python, option) == ("python", "-m")
    assert importlib.util.find_spec(module)
    assert container["args"] == [of_kind(manifests, "RayJob")[0]["metadata"]["name"]]
    assert {variable["name"] for variable in container["env"]} == {"JOB_NAME", "JOB_UID"}


def test_compose_and_slurm_run_commands_that_there_are(tmp_path: Path) -> None:
    [run] = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())["services"]["run"]["command"]
    parsed(shlex.split(run.partition("exec ")[2]))
    script = (ROOT / "infra" / "slurm" / "sam-label.sbatch").read_text()
    [command] = re.findall(r"^ +exec (sam-label .*)$", script, re.MULTILINE)
    job_file = tmp_path / "job.toml"
    job_file.write_text('input = "photos"\noutput = "masks"\n')
    parsed(shlex.split(command.replace("$job_file", str(job_file))))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_commands_that_there_are(page: Path) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        for command in re.findall(r"sam-label (?:run|status|validate|models|export)\b[^'\"|#]*", line):
            parsed(shlex.split(command))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_files_that_there_are(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"\binfra/[\w./-]*\w", text.replace("overlays/mine", "")):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link


def test_a_misspelt_option_would_be_found() -> None:
    with pytest.raises(typer.TyperException):
        parsed(["sam-label", "run", "a", "b", "--adress", "auto"])
