"""Every overlay and component in infra/kubernetes, against schemas and our own rules."""

import json
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kustomized import KUBERNETES, Manifest, composed, rendered
from manifest_fields import CUSTOM, checked
from pydantic import ValidationError

from pipeline.errors import (
    DatasetInvalid,
    Interrupted,
    OutputLocked,
    SamLabelError,
    TooManyFailures,
    UsageError,
)

KUBERNETES_VERSION = "1.35"
MONITORING = "../../monitoring"
COMPOSITIONS = (
    ("token-authentication", "kueue"),
    ("schedule", "kueue-schedule"),
    ("pod-monitor", MONITORING),
)
ALL = {
    **{str(folder.relative_to(KUBERNETES)): folder for folder in KUBERNETES.glob("overlays/*")},
    **{"+".join(("base", *names)): names for names in COMPOSITIONS},
}


@pytest.fixture(params=ALL, scope="module")
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    asked = ALL[request.param]
    return composed(*asked) if isinstance(asked, tuple) else rendered(asked)


def only(manifests: list[Manifest], kind: str) -> Manifest:
    [manifest] = [manifest for manifest in manifests if manifest["kind"] == kind]
    return manifest


def pods(node: Any) -> Iterator[dict[str, Any]]:
    """Every pod specification below a node: each mapping with containers."""
    if isinstance(node, dict):
        if "containers" in node:
            yield node
        for value in node.values():
            yield from pods(value)
    elif isinstance(node, list):
        for item in node:
            yield from pods(item)


def validate(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def validate_pods(of: Manifest) -> None:
    # As one list: each call reads a megabyte of schema.
    items = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod} for pod in pods(of)]
    validate({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})


def test_each_component_is_composed() -> None:
    in_overlays = {"weights", "gpu-l4", "spot", "schedule", "pod-monitor"}
    composed_here = {name for names in COMPOSITIONS for name in names}
    assert {folder.name for folder in KUBERNETES.glob("components/*")} == (composed_here | in_overlays) - {
        MONITORING
    }


def test_kubernetes_takes_it_with_no_unknown_field(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            validate(manifest)
            continue
        checked(manifest)
        validate_pods(manifest)


def test_a_misspelt_field_would_be_found() -> None:
    ray_job = only(composed(), "RayJob")
    ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 3
    with pytest.raises(ValidationError, match="maxReplica"):
        checked(ray_job)
    [pod, *_] = pods(ray_job)
    pod["terminationGracePeriodSecond"] = 3
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriodSecond"):
        validate_pods(ray_job)


def test_pods_are_restricted_and_their_root_is_read_only(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "hostNetwork" not in pod
        assert {"emptyDir", "configMap", "persistentVolumeClaim"} >= {
            kind for volume in pod.get("volumes", ()) for kind in volume if kind != "name"
        }
        mounted = {mount["name"] for box in pod["containers"] for mount in box.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert container["image"].rpartition(":")[2].startswith("0.")


def test_no_pod_holds_a_secret_and_only_the_schedule_a_token(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        for container in pod["containers"]:
            for variable in container.get("env", ()):
                assert "valueFrom" in variable or variable["name"] == "QUEUE"
        if pod.get("serviceAccountName") != "sam-label-schedule":
            assert pod["automountServiceAccountToken"] is False
    assert not [manifest for manifest in manifests if manifest["kind"] == "Secret"]


def test_a_ray_job_cleans_up_after_itself(manifests: list[Manifest]) -> None:
    ray_job = only(manifests, "RayJob")["spec"]
    cluster = ray_job["rayClusterSpec"]
    assert ray_job["shutdownAfterJobFinishes"] is True
    assert ray_job["ttlSecondsAfterFinished"] > 0
    assert cluster["authOptions"]["mode"] == "token"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for pod in pods(cluster):
        shm = [v["emptyDir"] for v in pod["volumes"] if v["name"] == "shm"]
        assert shm == [{"medium": "Memory", "sizeLimit": "2Gi"}]
        [container] = pod["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_ray_is_the_one_that_is_pinned() -> None:
    constraints = (KUBERNETES.parents[1] / "constraints.txt").read_text().splitlines()
    assert f"ray=={only(composed(), 'RayJob')['spec']['rayClusterSpec']['rayVersion']}" in constraints


def test_workers_may_be_taken_and_the_head_not() -> None:
    cluster = only(composed("gpu-l4", "spot"), "RayJob")["spec"]["rayClusterSpec"]
    head, [labelers] = cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"]
    terms = labelers["template"]["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]["nodeSelectorTerms"]
    spot_labels = {rule["key"] for term in terms for rule in term["matchExpressions"]}
    [term] = head["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert {rule["key"] for rule in term["matchExpressions"]} == spot_labels
    tolerated = {toleration["key"] for toleration in labelers["template"]["spec"]["tolerations"]}
    assert "nvidia.com/gpu" in tolerated
    assert "tolerations" not in head["spec"]


def test_exit_codes_drive_the_schedule() -> None:
    manifests = composed("schedule")
    schedule = only(manifests, "CronJob")["spec"]
    job = schedule["jobTemplate"]["spec"]
    [fail, ignore] = job["podFailurePolicy"]["rules"]
    final = {error.exit_code for error in (UsageError, TooManyFailures, DatasetInvalid)}
    again = {error.exit_code for error in (SamLabelError, OutputLocked, Interrupted)}
    assert (fail["action"], set(fail["onExitCodes"]["values"])) == ("FailJob", final)
    assert not final & again
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    [container] = job["template"]["spec"]["containers"]
    assert fail["onExitCodes"]["containerName"] == container["name"]
    assert schedule["concurrencyPolicy"] == "Forbid"
    assert only(manifests, "RayJob")["spec"]["suspend"] is True


def test_the_schedule_may_do_what_its_pod_asks_for_and_no_more() -> None:
    role = only(composed("schedule"), "Role")
    assert role["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["get", "create", "delete"]}
    ]


def test_prometheus_finds_the_port_by_name() -> None:
    manifests = composed("pod-monitor")
    port = only(manifests, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"]
    for pod in pods(only(manifests, "RayJob")["spec"]["rayClusterSpec"]):
        assert {"name": port, "containerPort": 8080} in pod["containers"][0]["ports"]


def test_alerts_are_the_same_for_the_operator_and_dashboards_are_for_the_sidecar() -> None:
    manifests = composed("pod-monitor", MONITORING)
    rules = yaml.safe_load((KUBERNETES.parent / "monitoring" / "alerts.yaml").read_text())
    assert only(manifests, "PrometheusRule")["spec"] == rules
    [dashboard] = [one for one in manifests if one["metadata"]["name"] == "sam-label-dashboard"]
    assert dashboard["metadata"]["labels"] == {"grafana_dashboard": "1"}
    panels = json.loads(dashboard["data"]["dashboard.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
