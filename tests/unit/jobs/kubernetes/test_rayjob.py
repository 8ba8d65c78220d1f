"""A RayJob made from a template and awaited; a server on loopback stores objects as Kubernetes does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from jobs.kubernetes.api import Kubernetes
from jobs.kubernetes.rayjob import Job, main, run_rayjob
from pipeline.errors import Interrupted, UsageError

RAYJOBS = "/apis/ray.io/v1/namespaces/labels/rayjobs"
JOB = Job("sam-label-2911", "0d1f", "")
TEMPLATE = {
    "apiVersion": "ray.io/v1",
    "kind": "RayJob",
    "metadata": {"name": "sam-label", "labels": {"app": "x"}, "uid": "77", "annotations": {"applied": "{}"}},
    "spec": {"suspend": True, "backoffLimit": 2, "entrypoint": "sam-label run"},
}
SUCCEEDED = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}


def failed(code: int) -> dict[str, str]:
    message = f"Job entrypoint command failed with exit code {code}, last available logs (truncated ...):\nx"
    return {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": message}


@dataclass
class Cluster:
    """RayJobs by path; each GET of one moves on to its next status, and the last status stays."""

    statuses: list[dict[str, str]] = field(default_factory=lambda: [SUCCEEDED])
    objects: dict[str, dict[str, Any]] = field(default_factory=lambda: {f"{RAYJOBS}/sam-label": TEMPLATE})
    requests: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)

    def answer(self, method: str, path: str, content: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests.append((method, path.rpartition("/")[2]))
        if self.refusals:
            return self.refusals.pop(0), {"message": "rayjobs.ray.io is forbidden"}
        if method == "POST":
            path = f"{path}/{content['metadata']['name']}"
            if path in self.objects:
                return 409, {"message": "already exists"}
            self.objects[path] = content
            return 201, content
        if path not in self.objects:
            return 404, {"message": "not found"}
        if method == "DELETE":
            return 200, self.objects.pop(path)
        if path != f"{RAYJOBS}/sam-label":
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            self.objects[path] |= {"status": status}
        return 200, self.objects[path]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def kubernetes(cluster: Cluster, tmp_path: Path) -> Iterator[Kubernetes]:
    (tmp_path / "token").write_text("t0k3n\n")
    (tmp_path / "namespace").write_text("labels\n")

    class Api(BaseHTTPRequestHandler):
        def answer(self) -> None:
            assert self.headers["Authorization"] == "Bearer t0k3n"
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code, reply = cluster.answer(self.command, self.path, json.loads(content or "{}"))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield Kubernetes(f"http://127.0.0.1:{server.server_port}", tmp_path)
    server.shutdown()


def run(kubernetes: Kubernetes, job: Job = JOB) -> int:
    return run_rayjob(kubernetes, "sam-label", job, look_every_s=0.01)


def test_the_copy_runs_once_and_belongs_to_the_job(kubernetes: Kubernetes, cluster: Cluster) -> None:
    assert run(kubernetes) == 0
    made = cluster.objects[f"{RAYJOBS}/{JOB.name}"]
    assert made["spec"] == {"suspend": False, "backoffLimit": 0, "entrypoint": "sam-label run"}
    assert made["metadata"] == {
        "name": JOB.name,
        "labels": {"app": "x"},
        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": JOB.name, "uid": "0d1f"}],
    }


def test_with_a_queue_the_copy_waits_for_kueue(kubernetes: Kubernetes, cluster: Cluster) -> None:
    run(kubernetes, Job(JOB.name, JOB.uid, "gpus"))
    made = cluster.objects[f"{RAYJOBS}/{JOB.name}"]
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (failed(2), 2),
        (failed(1), 1),
        (failed(130), 130),
        ({"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}, 1),
        ({"jobDeploymentStatus": "ValidationFailed", "message": "backoffLimit must be positive"}, 2),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, 130),
    ],
)
def test_it_ends_with_the_exit_code_of_the_run(
    kubernetes: Kubernetes, cluster: Cluster, end: dict[str, str], code: int
) -> None:
    cluster.statuses = [{}, {"jobDeploymentStatus": "Initializing"}, RUNNING, end]
    assert run(kubernetes) == code


def test_a_pod_that_takes_anothers_place_waits_for_the_same_rayjob(
    kubernetes: Kubernetes, cluster: Cluster
) -> None:
    cluster.objects[f"{RAYJOBS}/{JOB.name}"] = JOB.rayjob(TEMPLATE)
    cluster.statuses = [RUNNING, RUNNING, SUCCEEDED]
    assert run(kubernetes) == 0
    assert ("DELETE", JOB.name) not in cluster.requests


def test_the_next_try_replaces_the_failed_rayjob(kubernetes: Kubernetes, cluster: Cluster) -> None:
    cluster.objects[f"{RAYJOBS}/{JOB.name}"] = JOB.rayjob(TEMPLATE)
    cluster.statuses = [failed(1), RUNNING, SUCCEEDED]
    assert run(kubernetes) == 0
    assert cluster.requests.count(("DELETE", JOB.name)) == 1


def test_a_busy_api_server_is_asked_again(kubernetes: Kubernetes, cluster: Cluster) -> None:
    cluster.refusals = [503]
    assert run(kubernetes) == 0


def test_a_missing_permission_ends_it_with_usage(kubernetes: Kubernetes, cluster: Cluster) -> None:
    cluster.refusals = [403]
    with pytest.raises(UsageError, match=r"refused to GET .*rayjobs\.ray\.io is forbidden"):
        run(kubernetes)


def test_a_missing_template_is_named(kubernetes: Kubernetes, cluster: Cluster) -> None:
    cluster.objects.clear()
    with pytest.raises(UsageError, match="no RayJob sam-label to copy"):
        run(kubernetes)


def test_a_rayjob_deleted_by_hand_ends_as_interrupted(kubernetes: Kubernetes, cluster: Cluster) -> None:
    answer = cluster.answer

    def deleting(method: str, path: str, content: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if method == "GET" and path.endswith(JOB.name):
            cluster.objects.pop(path, None)
        return answer(method, path, content)

    cluster.answer = deleting  # type: ignore[method-assign]
    with pytest.raises(Interrupted, match="was deleted"):
        run(kubernetes)


def test_outside_a_pod_it_says_what_to_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["rayjob", "sam-label"])
    monkeypatch.delenv("JOB_NAME", raising=False)
    assert main() == 2
    assert "JOB_NAME is not set" in capsys.readouterr().err
    monkeypatch.setenv("JOB_NAME", "a")
    monkeypatch.setenv("JOB_UID", "b")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main() == 2
    assert "kubectl create job" in capsys.readouterr().err
