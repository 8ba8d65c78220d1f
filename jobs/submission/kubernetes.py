"""Makes manifests for Kubernetes from the templates beside this file, which are those of infra/kubernetes."""

import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from jobs.submission.schedule import TEMPLATES, Schedule

JOB_FILE = "/etc/sam-label/job.toml"
GPU = "nvidia.com/gpu"


def cron_job(schedule: Schedule) -> str:
    """A CronJob; each of its runs is one pod with its own Ray."""
    (job,) = _documents("cronjob.yaml")
    spec = _scheduled(job, schedule)
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (run,) = pod["containers"]
    run["image"] = schedule.image
    run["args"] = ["run", "--config", JOB_FILE, *map(_argument, schedule.options)]
    _with_gpus(pod, schedule.gpus)
    _with_weights(pod, schedule)
    return _manifest(schedule, [_job_file(schedule), *_account(schedule), job])


def scheduled_ray_job(schedule: Schedule) -> str:
    """A RayJob as a template, and a CronJob that copies it for each run and waits for the run's end."""
    (ray_job,) = _documents("rayjob.yaml")
    (job,) = _documents("rayjob-schedule.yaml")
    ray_job["metadata"]["name"] = schedule.name
    ray_job["spec"]["suspend"] = True
    ray_job["spec"]["activeDeadlineSeconds"] = 3600 * schedule.deadline_h
    ray_job["spec"]["entrypoint"] = shlex.join(
        ["sam-label", "run", "--config", JOB_FILE, "--address", "auto", *schedule.options]
    )
    cluster = ray_job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    workers |= dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), schedule.nodes)
    pods = [
        cluster["headGroupSpec"]["template"],
        workers["template"],
        ray_job["spec"]["submitterPodTemplate"],
    ]
    for pod in pods:
        _with_weights(pod["spec"], schedule)
        pod["spec"]["serviceAccountName"] = schedule.name
        for container in pod["spec"]["containers"]:
            container["image"] = schedule.image
    for volume in pods[0]["spec"]["volumes"]:
        if volume["name"] == "job":
            volume["configMap"]["name"] = _job_file_name(schedule)
    _with_gpus(workers["template"]["spec"], schedule.gpus)

    spec = _scheduled(job, schedule)
    starter = spec["jobTemplate"]["spec"]["template"]["spec"]
    starter["serviceAccountName"] = f"{schedule.name}-schedule"
    starter["containers"][0] |= {"image": schedule.image, "args": [schedule.name]}
    return _manifest(schedule, [_job_file(schedule), *_account(schedule), *_access(schedule), ray_job, job])


def _scheduled(job: dict[str, Any], schedule: Schedule) -> dict[str, Any]:
    job["metadata"]["name"] = schedule.name
    spec: dict[str, Any] = job["spec"]
    spec["schedule"] = str(schedule.cron)
    spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] = 3600 * schedule.deadline_h
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    pod["serviceAccountName"] = schedule.name
    for volume in pod.get("volumes", ()):
        if volume["name"] == "job":
            volume["configMap"]["name"] = _job_file_name(schedule)
    return spec


def _job_file(schedule: Schedule) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _job_file_name(schedule)},
        "data": {"job.toml": schedule.job_text},
    }


def _account(schedule: Schedule) -> Iterator[dict[str, Any]]:
    for account in _documents("service-account.yaml"):
        account["metadata"]["name"] = schedule.name
        yield account


def _access(schedule: Schedule) -> Iterator[dict[str, Any]]:
    """What the CronJob may do to RayJobs, under the schedule's own name."""
    name = f"{schedule.name}-schedule"
    for document in _documents("rayjob-access.yaml"):
        document["metadata"]["name"] = name
        if document["kind"] == "RoleBinding":
            document["roleRef"]["name"] = name
            document["subjects"][0]["name"] = name
        yield document


def _with_gpus(pod: dict[str, Any], gpus: int) -> None:
    """Gives the pod's container GPUs, with CPUs and memory for them, and lets the pod onto GPU nodes."""
    if gpus:
        amounts = {"cpu": str(6 * gpus), "memory": f"{24 * gpus}Gi", GPU: str(gpus)}
        pod["containers"][0]["resources"] = {"requests": amounts, "limits": dict(amounts)}
        pod["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]


def _with_weights(pod: dict[str, Any], schedule: Schedule) -> None:
    """Mounts the claim as infra/kubernetes/components/weights does, where the pod has room for weights."""
    for volume in pod["volumes"]:
        if schedule.weights_claim and volume["name"] == "weights":
            del volume["emptyDir"]
            volume["persistentVolumeClaim"] = {"claimName": schedule.weights_claim, "readOnly": True}


def _job_file_name(schedule: Schedule) -> str:
    return f"{schedule.name}-job"


def _argument(word: str) -> str:
    """Escapes `$(NAME)`, which Kubernetes would expand."""
    return word.replace("$(", "$$(")


def _documents(template: str) -> list[Any]:
    # YAML's anchors make several places one object, so that a change to one would change them all.
    return [_unshared(document) for document in yaml.safe_load_all((TEMPLATES / template).read_text("utf-8"))]


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _manifest(schedule: Schedule, documents: list[Any]) -> str:
    text = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    file = f"{schedule.name}.yaml"
    return f"# Apply: save this as {file}, then: kubectl apply -n NAMESPACE -f {file}\n{text}"


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML states no types
    """Writes texts of several lines as such, where YAML can."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
