"""Our RayJobs against KubeRay's own schemas, changed to refuse unknown fields.

The schemas are KubeRay's and not part of this project: KUBERAY_CRDS names a folder with KubeRay's file
`ray.io_rayjobs.yaml.gz`. Without it, only manifest_fields.py checks the fields.
"""

import gzip
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kustomized import KUBERNETES, Manifest, composed, rendered

CRDS = os.environ.get("KUBERAY_CRDS")


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    if CRDS is None:
        pytest.skip("KubeRay's schemas are not here; KUBERAY_CRDS names their folder")
    # The C parser reads these five megabytes in seconds, the Python parser in half a minute.
    definition = yaml.load(
        gzip.decompress(Path(CRDS, "ray.io_rayjobs.yaml.gz").read_bytes()), Loader=yaml.CSafeLoader
    )
    [version] = [version for version in definition["spec"]["versions"] if version["name"] == "v1"]
    return jsonschema.Draft7Validator(closed(version["schema"]["openAPIV3Schema"]))


def closed(node: Any) -> Any:
    """The schema, changed to refuse unnamed fields; ObjectMeta is open in a CRD, and stays open."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: closed(value) for key, value in node.items()}
    if "properties" in node and "additionalProperties" not in node:
        node["additionalProperties"] = False
    if node.get("x-kubernetes-int-or-string"):
        node.pop("type", None)
    return node


def ray_job(manifests: list[Manifest]) -> Manifest:
    [found] = [manifest for manifest in manifests if manifest["kind"] == "RayJob"]
    return found


def test_kuberay_knows_every_field(schema: jsonschema.Draft7Validator) -> None:
    overlays = [rendered(folder) for folder in sorted(KUBERNETES.glob("overlays/*"))]
    for manifests in [*overlays, composed("token-authentication"), composed("kueue")]:
        assert [error.message for error in schema.iter_errors(ray_job(manifests))] == []


@pytest.mark.parametrize(
    ("group", "change"), [("headGroupSpec", {"raystartparams": {}}), ("authOptions", {"mode": 3})]
)
def test_a_slip_is_found(schema: jsonschema.Draft7Validator, group: str, change: dict[str, Any]) -> None:
    wrong = ray_job(composed())
    wrong["spec"]["rayClusterSpec"][group] |= change
    assert not schema.is_valid(wrong)
