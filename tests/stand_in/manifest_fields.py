"""The fields of custom resources that our manifests use, with their types; any other field is an error.

This is our own schema, much smaller than the projects' schemas, to catch mistakes where those are not
available. test_kuberay_crds.py checks our manifests against KubeRay's. `kubernetes-validate` checks the pods.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Quantity = str
PodTemplate = dict[str, Any]


class Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Fields):
    name: str = Field(max_length=47)
    namespace: str | None = None
    labels: dict[str, str] = {}


class HeadGroup(Fields):
    rayStartParams: dict[str, str]
    template: PodTemplate


class WorkerGroup(HeadGroup):
    groupName: str
    replicas: int = Field(ge=0)
    minReplicas: int = Field(ge=0)
    maxReplicas: int = Field(ge=0)


class AuthOptions(Fields):
    mode: Literal["token"]
    secretName: str | None = None


class RayClusterSpec(Fields):
    rayVersion: str
    authOptions: AuthOptions
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup]


class RayJobSpec(Fields):
    entrypoint: str
    entrypointNumCpus: float
    runtimeEnvYAML: str
    submissionMode: Literal["K8sJobMode"]
    suspend: bool
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: int = Field(gt=0)
    activeDeadlineSeconds: int = Field(gt=0)
    backoffLimit: int = Field(ge=0)
    submitterPodTemplate: PodTemplate
    rayClusterSpec: RayClusterSpec


class RayJob(Fields):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: RayJobSpec


class Requirement(Fields):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class Selector(Fields):
    matchLabels: dict[str, str]
    matchExpressions: list[Requirement]


class Relabeling(Fields):
    sourceLabels: list[str]
    targetLabel: str


class Endpoint(Fields):
    port: str
    interval: str = Field(pattern=r"\d+s")
    relabelings: list[Relabeling]


class PodMonitorSpec(Fields):
    selector: Selector
    podMetricsEndpoints: list[Endpoint]


class PodMonitor(Fields):
    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PodMonitor"]
    metadata: Metadata
    spec: PodMonitorSpec


class Rule(Fields):
    alert: str
    expr: str
    # Prometheus calls it `for`, which is a keyword in Python.
    for_: str = Field(alias="for", pattern=r"\d+[smh]")
    labels: dict[str, str]
    annotations: dict[str, str]


class RuleGroup(Fields):
    name: str
    rules: list[Rule]


class PrometheusRuleSpec(Fields):
    groups: list[RuleGroup]


class PrometheusRule(Fields):
    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    metadata: Metadata
    spec: PrometheusRuleSpec


CUSTOM = {"RayJob": RayJob, "PodMonitor": PodMonitor, "PrometheusRule": PrometheusRule}


def checked(manifest: dict[str, Any]) -> None:
    """Raises pydantic.ValidationError for a field that we do not use, or one of another type."""
    CUSTOM[manifest["kind"]].model_validate(manifest)
