"""The output of `sam-label schedule`, read with the parser that it is for: YAML, bash, systemd, Python."""

import ast
import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml
from scheduling import JOB, schedule

from jobs.submission.runtime_environment import STOPS_IN_ORDER

REGION = """e u'"#$x $(id) %h \\n {{ ds }}"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file with a hostile name."""
    folder = tmp_path / "a b'c\"d #$x"
    folder.mkdir()
    file = folder / "Nightly $(id) %n.toml"
    file.write_text(JOB)
    return file


def text_for(capsys: pytest.CaptureFixture[str], job: Path, target: str, *options: str) -> str:
    always = ("--cron", "30 2 * * mon-fri", "--var", f"REGION={REGION}", "--target", target)
    name = () if "--name" in options else ("--name", "labels")
    code, out, err = schedule(capsys, job, *always, *name, *options)
    assert (code, err) == (0, "")
    assert out.startswith(("# Apply: ", "#!/usr/bin/env bash\n# Apply: "))
    return out


def by_kind(text: str) -> dict[str, dict[str, Any]]:
    """The manifests; Kubernetes knows every field of the CronJob."""
    kinds = {document["kind"]: document for document in yaml.safe_load_all(text)}
    kubernetes_validate.validate(kinds["CronJob"], "1.35", strict=True)
    return kinds


def test_kubernetes_runs_the_job_file_in_a_pod(capsys: pytest.CaptureFixture[str], job: Path) -> None:
    kinds = by_kind(text_for(capsys, job, "kubernetes", "--image", "registry/sam-label:1", "--gpus", "2"))
    assert kinds["ConfigMap"]["data"] == {"job.toml": JOB}
    spec = kinds["CronJob"]["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (
        "30 2 * * 1,2,3,4,5",
        "Etc/UTC",
        "Forbid",
    )
    rules = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rules[0]["onExitCodes"]["values"] == [2, 3, 4]
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (run,) = pod["containers"]
    assert run["image"] == "registry/sam-label:1"
    assert run["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert run["args"][-1].replace("$$(", "$(") == f"REGION={REGION}"
    assert "$$(id)" in run["args"][-1], "else Kubernetes expands it"
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "job"]
    assert volume["configMap"]["name"] == kinds["ConfigMap"]["metadata"]["name"]
    assert pod["serviceAccountName"] == kinds["ServiceAccount"]["metadata"]["name"]


def test_a_ray_job_is_copied_by_a_cron_job(capsys: pytest.CaptureFixture[str], job: Path) -> None:
    text = text_for(capsys, job, "rayjob", "--nodes", "3", "--gpus", "1", "--name", "nightly")
    kinds = by_kind(text)
    spec = kinds["RayJob"]["spec"]
    assert spec["suspend"] is True, "the template itself never runs"
    assert yaml.safe_load(spec["runtimeEnvYAML"]) == STOPS_IN_ORDER
    assert shlex.split(spec["entrypoint"])[-1] == f"REGION={REGION}"
    (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert [workers[name] for name in ("replicas", "minReplicas", "maxReplicas")] == [3, 3, 3]
    assert workers["template"]["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] == "1"
    assert workers["template"]["spec"]["containers"][0]["image"].endswith("-cuda")
    (starter,) = kinds["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert starter["args"] == [kinds["RayJob"]["metadata"]["name"]] == ["nightly"]
    assert kinds["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"
    binding = kinds["RoleBinding"]
    assert binding["roleRef"]["name"] == kinds["Role"]["metadata"]["name"] == "nightly-schedule"
    mounted = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    assert {"name": "job", "configMap": {"name": kinds["ConfigMap"]["metadata"]["name"]}} in mounted


@pytest.mark.parametrize("target", ["kubernetes", "rayjob"])
def test_pods_have_the_weights_of_a_claim_and_a_deadline(
    capsys: pytest.CaptureFixture[str], job: Path, target: str
) -> None:
    job.write_text(f'model = "vit_h"\n{JOB}')
    kinds = by_kind(text_for(capsys, job, target, "--weights-claim", "our-weights", "--deadline", "30"))
    job_template = kinds["CronJob"]["spec"]["jobTemplate"]["spec"]
    asked = [job_template["activeDeadlineSeconds"]]
    pods = [job_template["template"]["spec"]]
    if target == "rayjob":
        spec = kinds["RayJob"]["spec"]
        asked.append(spec["activeDeadlineSeconds"])
        [workers] = spec["rayClusterSpec"]["workerGroupSpecs"]
        pods = [group["template"]["spec"] for group in (spec["rayClusterSpec"]["headGroupSpec"], workers)]
    assert set(asked) == {30 * 3600}
    claim = {"name": "weights", "persistentVolumeClaim": {"claimName": "our-weights", "readOnly": True}}
    for pod in pods:
        assert claim in pod["volumes"]
        assert {"name": "weights", "mountPath": "/weights"} in pod["containers"][0]["volumeMounts"]
    job.write_text(JOB)
    without = by_kind(text_for(capsys, job, target))["CronJob"]
    assert without["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 24 * 3600


def test_systemd_takes_the_units(
    capsys: pytest.CaptureFixture[str], job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd-analyze looks for the command, too."""
    command = tmp_path / "v$en 100%" / "bin" / "sam-label"
    command.parent.mkdir(parents=True)
    command.touch(0o755)
    monkeypatch.setattr(sys, "prefix", str(command.parents[1]))
    monkeypatch.setenv("SAM_LABEL_CACHE", str(tmp_path / """c$che 100% 'x' "y" """))
    text = text_for(capsys, job, "systemd", "--name", "nightly")
    assert "sudo awk '/^# file: /{file=$3} file{print > file}' nightly.units" in text.splitlines()[0]
    units = tmp_path / "nightly.units"
    units.write_text(text.replace("/etc/systemd/system", str(tmp_path)))
    subprocess.run(["awk", "/^# file: /{file=$3} file{print > file}", str(units)], check=True)
    service, timer = tmp_path / "nightly.service", tmp_path / "nightly.timer"
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(service), str(timer)], capture_output=True, text=True
    )
    assert [line for line in checked.stderr.splitlines() if "nightly" in line] == []
    lines = service.read_text().splitlines()
    assert {"Type=oneshot", "Restart=on-failure", "RestartPreventExitStatus=2 3 4 127 203"} <= set(lines)
    (start,) = [line for line in lines if line.startswith("ExecStart=")]
    first, *words = _systemd_words(start.removeprefix("ExecStart="))
    assert first == str(command)
    assert [word.replace("$$", "$") for word in words] == [
        "run",
        "--config",
        str(job),
        "--var",
        f"REGION={REGION}",
    ]
    (environment,) = [line for line in lines if line.startswith("Environment=")]
    assert _systemd_words(environment.removeprefix("Environment=")) == [
        f"SAM_LABEL_CACHE={tmp_path}/c$che 100% 'x' \"y\" "
    ]
    assert "OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00 UTC" in timer.read_text()


def test_bash_takes_the_slurm_script(
    capsys: pytest.CaptureFixture[str], job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs the script with cron's PATH; stand-ins for Slurm's commands note their arguments."""
    commands = tmp_path / "my 'venv'$x" / "bin"
    commands.mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(commands.parent))
    monkeypatch.setenv("SAM_LABEL_CACHE", str(tmp_path / "a 'cache'"))
    text = text_for(capsys, job, "slurm", "--nodes", "2", "--gpus", "4")
    assert "\n#SBATCH --dependency=singleton\n" in text
    assert "\n#SBATCH --nodes=2\n" in text
    assert "\n#SBATCH --gpus-per-node=4\n" in text
    assert r"30 2 * * 1,2,3,4,5 sbatch" in text.splitlines()[1]
    assert text.splitlines()[1].endswith(r"--var DATE=$(date -u +\%FT\%H)")
    script = tmp_path / "job.sbatch"
    script.write_text(text)
    for name in ("srun", "python", "sam-label", "scontrol", "scancel"):
        command = commands / name
        note = (
            f'import json, sys; open({str(tmp_path / name)!r}, "a").write(json.dumps(sys.argv[1:]) + "\\n")'
        )
        code = "sys.exit(int(open(sys.argv[0] + '.code').read()))" if name == "sam-label" else ""
        if name == "srun":
            note = f'import os; open({str(tmp_path / "cache")!r}, "w").write(os.environ["SAM_LABEL_CACHE"])'
        command.write_text(f"#!{sys.executable} -IS\n{note}\n{code}\n")
        command.chmod(0o755)
    ended = {}
    for code in (0, 1, 2):
        (commands / "sam-label.code").write_text(str(code))
        ended[code] = subprocess.run(
            [shutil.which("bash") or "bash", str(script), "--var", "DATE=2026-11-01"],
            env={
                "PATH": "/usr/bin:/bin",
                "SLURM_JOB_NUM_NODES": "2",
                "SLURM_JOB_ID": "7",
                "SLURMD_NODENAME": "n1",
            },
            capture_output=True,
            text=True,
        ).returncode
    assert ended == {0: 0, 1: 1, 2: 2}
    assert (tmp_path / "cache").read_text() == str(tmp_path / "a 'cache'")
    assert (tmp_path / "scontrol").read_text() == '["requeue", "7"]\n', "after 1 alone"
    words = json.loads((tmp_path / "sam-label").read_text().splitlines()[0])
    assert words[:3] == ["run", "--config", str(job)]
    assert words[5:] == ["--var", f"REGION={REGION}", "--var", "DATE=2026-11-01"]


@pytest.mark.parametrize("is_named", [True, False])
def test_a_command_apart_from_its_python_is_found(
    capsys: pytest.CaptureFixture[str],
    job: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_named: bool,
) -> None:
    """After `pip install --user`: started by its path, or by another program that has it on PATH."""
    command = tmp_path / "local" / "bin" / "sam-label"
    command.parent.mkdir(parents=True)
    command.touch(0o755)
    monkeypatch.setattr(sys, "prefix", "/usr/no-venv")
    monkeypatch.setattr(sys, "argv", [str(command) if is_named else "pytest"])
    monkeypatch.setenv("PATH", f"{command.parent if not is_named else tmp_path}:/usr/bin:/bin")
    path = f"\nexport PATH=/usr/no-venv/bin:{command.parent}:$PATH\n"
    assert path in text_for(capsys, job, "slurm")
    assert f'ExecStart="{command}" ' in text_for(capsys, job, "systemd")


def test_the_slurm_script_does_what_the_one_in_infra_does() -> None:
    root = Path(__file__).parents[4]
    template = (root / "jobs" / "submission" / "templates" / "slurm.sbatch").read_text(encoding="utf-8")
    ours = (root / "infra" / "slurm" / "sam-label.sbatch").read_text(encoding="utf-8")
    filled_in = template.partition('options=(@OPTIONS@ "$@")\n')[2].replace(' "${options[@]}"', "")
    assert filled_in == ours[ours.index("job_file=") :].partition("\n")[2]


@pytest.fixture
def sigterm() -> Iterator[None]:
    """Puts the handler of SIGTERM back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm")
@pytest.mark.parametrize("is_new", [True, False])
def test_airflow_tries_again_what_can_mend(
    capsys: pytest.CaptureFixture[str], job: Path, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    """Runs the module's code; Airflow is too large to install here, so stand-ins have the imported names."""
    text = text_for(capsys, job, "airflow", "--address", "http://ray:8265")
    seen = _stand_in_airflow(monkeypatch, is_new)
    exec(compile(ast.parse(text), "dag.py", "exec"), namespace := {})  # noqa: S102
    words = ["submit", str(job), "--follow", "--stop-on-term", "--address", "http://ray:8265"]
    assert namespace["COMMAND"][1:7] == words
    assert namespace["COMMAND"][-1] == f"REGION={REGION}"
    assert (seen["dag"]["max_active_runs"], seen["dag"]["catchup"]) == (1, False)
    assert seen["dag"]["schedule"] == "30 2 * * 1,2,3,4,5"
    outcomes = {}
    for code in (0, 1, 2, 3, 4, 5, 130):
        namespace["COMMAND"] = [
            sys.executable,
            "-ISc",
            f"import sys; sys.exit({code} if sys.argv[2:] else 9)",
        ]
        try:
            seen["task"]()
            outcomes[code] = "done"
        except Exception as fault:  # noqa: BLE001
            outcomes[code] = type(fault).__name__
    final, again = "AirflowFailException", "AirflowException"
    assert outcomes == {0: "done", 1: again, 2: final, 3: final, 4: final, 5: again, 130: again}


ENDS_ITS_TASK = """
import os, signal
print("labels", flush=True)
if os.getpgid(0) == os.getpid():  # else the task's group is signalled, as by Airflow
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    os.kill(os.getppid(), signal.SIGTERM)
    signal.sigwait([signal.SIGTERM])
    print("commits what is done")
    raise SystemExit(130)
"""


@pytest.mark.usefixtures("sigterm")
def test_ending_airflows_task_ends_the_command_in_order_and_logs_all_it_says(
    capsys: pytest.CaptureFixture[str], job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text_for(capsys, job, "airflow")
    seen = _stand_in_airflow(monkeypatch, is_new=True)
    exec(compile(ast.parse(text), "dag.py", "exec"), namespace := {})  # noqa: S102
    namespace["COMMAND"] = [sys.executable, "-ISc", ENDS_ITS_TASK]
    with pytest.raises(Exception, match="exit code 130; the next try"):
        seen["task"]()
    assert capsys.readouterr().out == "labels\ncommits what is done\n"


def _systemd_words(text: str) -> list[str]:
    """Splits words in double quotes as systemd does. In arguments, and there alone, it also makes $ of $$."""
    words = []
    while text:
        assert text[0] == '"'
        word, place = "", 1
        while text[place] != '"':
            place += text[place] == "\\"
            word += text[place]
            place += 1
        words.append(word.replace("%%", "%"))
        text = text[place + 1 :].lstrip()
    return words


def _stand_in_airflow(monkeypatch: pytest.MonkeyPatch, is_new: bool) -> dict[str, Any]:
    """Modules with the names that the DAG imports, of Airflow 3.1 or of 2; what the DAG gives them."""
    seen: dict[str, Any] = {}
    names = (
        ("airflow.sdk", "airflow.sdk.exceptions") if is_new else ("airflow.decorators", "airflow.exceptions")
    )
    decorators, exceptions = map(ModuleType, names)

    class AirflowException(Exception):
        pass

    def dag(**options: Any) -> Any:
        seen["dag"] = options
        return lambda function: function

    def task(function: Any) -> Any:
        seen["task"] = function
        return lambda: None

    vars(decorators).update(dag=dag, task=task)
    vars(exceptions).update(
        AirflowException=AirflowException,
        AirflowFailException=type("AirflowFailException", (AirflowException,), {}),
    )
    for module in (ModuleType("airflow"), decorators, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return seen
