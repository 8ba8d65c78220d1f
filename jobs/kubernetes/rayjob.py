"""One run of a schedule on Kubernetes: creates a RayJob from a template, and exits with its exit code.

    python -m jobs.kubernetes.rayjob TEMPLATE

runs in the pod of a CronJob's Job (infra/kubernetes/components/schedule). It exits with the exit code of the
run, so that the Job retries after a lost cluster, but not after a misspelt option. JOB_NAME and JOB_UID name
the Job; QUEUE, if it is set, names a queue of Kueue.

The RayJob has the name of the Job. So if the pod is moved, its successor finds the RayJob and waits on. A
RayJob that has failed is replaced by a new one, which goes on from the output.
"""

import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from jobs.kubernetes.api import Kubernetes
from pipeline.errors import Interrupted, SamLabelError, UsageError

LOOK_EVERY_S = 10.0
GONE_S = 900.0  # a RayJob is deleted after its pods, which have a minute each, and their nodes may be gone
ENDED = ("Complete", "Failed", "ValidationFailed")
# Ray's words for a failed command (dashboard/modules/job/job_supervisor.py), which KubeRay passes on.
EXIT_CODE = re.compile(r"failed with exit code (\d+)")


@dataclass(frozen=True)
class Job:
    """The Job of batch/v1 whose pod this is, and Kueue's queue for its RayJob."""

    name: str
    uid: str
    queue: str = ""

    def rayjob(self, template: dict[str, Any]) -> dict[str, Any]:
        """The RayJob to create from the template: deleted with the Job; tried once, since the Job retries."""
        labels = dict(template["metadata"].get("labels", {}))
        if self.queue:
            labels["kueue.x-k8s.io/queue-name"] = self.queue
        return {
            "apiVersion": template["apiVersion"],
            "kind": template["kind"],
            "metadata": {
                "name": self.name,
                "labels": labels,
                "ownerReferences": [
                    {"apiVersion": "batch/v1", "kind": "Job", "name": self.name, "uid": self.uid}
                ],
            },
            # Kueue starts suspended RayJobs.
            "spec": template["spec"] | {"suspend": bool(self.queue), "backoffLimit": 0},
        }


def main() -> int:
    """The exit code of the run; 1 if it ended without one."""
    signal.signal(signal.SIGTERM, _ended)  # process 1 of a container has no default action
    try:
        if len(sys.argv) != 2:
            raise UsageError("usage: python -m jobs.kubernetes.rayjob TEMPLATE")
        job = Job(os.environ["JOB_NAME"], os.environ["JOB_UID"], os.environ.get("QUEUE", ""))
        return run_rayjob(Kubernetes.around(), sys.argv[1], job)
    except KeyError as missing:
        print(f"sam-label: {missing.args[0]} is not set; the CronJob sets it", file=sys.stderr)
        return UsageError.exit_code
    except SamLabelError as error:
        print(f"sam-label: {error}", file=sys.stderr)
        return error.exit_code


def run_rayjob(
    kubernetes: Kubernetes, template_name: str, job: Job, look_every_s: float = LOOK_EVERY_S
) -> int:
    """The exit code of the run of this Job's RayJob, once that has ended.

    Raises: UsageError if there is no such template, or Kubernetes refuses; SamLabelError if it is silent.
    """
    rayjobs = f"ray.io/v1/namespaces/{kubernetes.namespace}/rayjobs"
    template = kubernetes.get(f"{rayjobs}/{template_name}")
    if template is None:
        raise UsageError(f"there is no RayJob {template_name} to copy; apply the overlay that has it")
    ours, rayjob = f"{rayjobs}/{job.name}", job.rayjob(template)
    if not kubernetes.create(rayjobs, rayjob) and (ended := _end_of(kubernetes.get(ours))):
        if (code := _exit_code(ended)) == 0:
            return 0
        print(f"the RayJob {job.name} ended with exit code {code}; a new one continues", file=sys.stderr)
        _replace(kubernetes, rayjobs, rayjob, look_every_s)
    print(f"waiting for the RayJob {job.name}: kubectl get rayjob {job.name}", file=sys.stderr)
    while True:
        found = kubernetes.get(ours)
        if found is None:
            raise Interrupted(f"the RayJob {job.name} was deleted; its finished images are committed")
        if ended := _end_of(found):
            if message := ended.get("message") or ended.get("reason"):
                print(message, file=sys.stderr)
            return _exit_code(ended)
        time.sleep(look_every_s)


def _replace(kubernetes: Kubernetes, rayjobs: str, rayjob: dict[str, Any], look_every_s: float) -> None:
    ours = f"{rayjobs}/{rayjob['metadata']['name']}"
    kubernetes.delete(ours)
    deadline = time.monotonic() + GONE_S
    while not kubernetes.create(rayjobs, rayjob):
        if time.monotonic() > deadline:
            raise SamLabelError(
                f"the failed RayJob {ours} was not deleted in {GONE_S:g} s; see its finalizers"
            )
        time.sleep(look_every_s)


def _end_of(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The status of a RayJob that has ended; None while it has not."""
    status: dict[str, Any] = (found or {}).get("status", {})
    return status if status.get("jobDeploymentStatus") in ENDED else None


def _exit_code(ended: dict[str, Any]) -> int:
    if ended.get("jobStatus") == "SUCCEEDED":
        return 0
    if ended.get("jobDeploymentStatus") == "ValidationFailed":
        return UsageError.exit_code
    if ended.get("jobStatus") == "STOPPED":
        return Interrupted.exit_code
    stated = EXIT_CODE.search(ended.get("message", ""))
    return int(stated[1]) if stated else SamLabelError.exit_code


def _ended(*_: object) -> NoReturn:
    sys.exit(Interrupted.exit_code)


if __name__ == "__main__":
    sys.exit(main())
