"""What `kubectl apply -k` would apply, for the few features of kustomize that infra/kubernetes uses.

No Python package contains kustomize. A kustomization with any other key fails an assertion, so that the tests
cannot overlook what they do not understand. `python tests/stand_in/kustomized.py` compares the result with
`kubectl kustomize` on a machine that has it.
"""

import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

KUBERNETES = Path(__file__).parents[2] / "infra" / "kubernetes"
Manifest = dict[str, Any]
KEYS = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "components",
    "patches",
    "configMapGenerator",
    "images",
}


def rendered(folder: Path) -> list[Manifest]:
    """The manifests of an overlay. YAML's anchors are expanded, as kustomize does."""
    return _applied(folder, [])


def composed(*components: str) -> list[Manifest]:
    """The base with the components applied in this order."""
    manifests = rendered(KUBERNETES / "base")
    for component in components:
        manifests = _applied(KUBERNETES / "components" / component, manifests)
    return manifests


def loaded(text: str) -> list[Any]:
    """The documents of a YAML text, without shared objects."""
    return [_unshared(document) for document in yaml.safe_load_all(text)]


def _applied(folder: Path, manifests: list[Manifest]) -> list[Manifest]:
    """Applies a kustomization to the manifests so far."""
    [asked] = loaded((folder / "kustomization.yaml").read_text())
    options = asked.pop("generatorOptions", {"disableNameSuffixHash": True})
    assert options == {"disableNameSuffixHash": True}
    assert asked.keys() <= KEYS, f"{folder} uses {asked.keys() - KEYS}"
    for resource in asked.get("resources", ()):
        path = folder / resource
        manifests = [*manifests, *(rendered(path) if path.is_dir() else loaded(path.read_text()))]
    for component in asked.get("components", ()):
        manifests = _applied(folder / component, manifests)
    for generator in asked.get("configMapGenerator", ()):
        manifests = _with_config_map(manifests, folder, **generator)
    for patch in asked.get("patches", ()):
        manifests = _patched(manifests, folder, **patch)
    for manifest in manifests if "namespace" in asked else ():
        _place(manifest, asked["namespace"])
    for image in asked.get("images", ()):
        _rename_images(manifests, **image)
    return manifests


def _with_config_map(
    manifests: list[Manifest],
    folder: Path,
    name: str,
    files: list[str],
    behavior: str = "create",
    options: Manifest | None = None,
) -> list[Manifest]:
    labels = {key: value for key, value in (options or {}).items() if key != "disableNameSuffixHash"}
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **labels},
        "data": {file: (folder / file).read_text() for file in files},
    }
    others = [manifest for manifest in manifests if _name(manifest) != ("ConfigMap", name)]
    assert (len(others) < len(manifests)) == (behavior == "replace"), f"{folder}: {behavior} {name}"
    return [*others, made]


def _patched(
    manifests: list[Manifest], folder: Path, target: dict[str, str], patch: str = "", path: str = ""
) -> list[Manifest]:
    assert bool(patch) != bool(path)
    [steps] = loaded(patch or (folder / path).read_text())
    wanted = (target["kind"], target["name"])
    found = [manifest for manifest in manifests if _name(manifest) == wanted]
    assert len(found) == 1, f"{folder} patches {wanted}, of which there are {len(found)}"
    return [
        jsonpatch.apply_patch(manifest, steps) if manifest is found[0] else manifest for manifest in manifests
    ]


def _place(manifest: Manifest, namespace: str) -> None:
    if manifest["kind"] == "Namespace":
        manifest["metadata"]["name"] = namespace
        return
    manifest["metadata"]["namespace"] = namespace
    for subject in manifest.get("subjects", ()):
        subject["namespace"] = namespace


def _rename_images(node: Any, name: str, newName: str) -> None:
    if isinstance(node, list):
        for item in node:
            _rename_images(item, name, newName)
    elif isinstance(node, dict):
        for container in [*node.get("containers", ()), *node.get("initContainers", ())]:
            image, _, tag = container["image"].partition(":")
            container["image"] = f"{newName}:{tag}" if image == name else container["image"]
        for value in node.values():
            _rename_images(value, name, newName)


def _name(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _unshared(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _unshared(value) for key, value in node.items()}
    return [_unshared(item) for item in node] if isinstance(node, list) else deepcopy(node)


def _compare_with_kubectl() -> None:
    for overlay in sorted(KUBERNETES.glob("overlays/*")):
        command = ["kubectl", "kustomize", overlay]
        theirs = loaded(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ours = rendered(overlay)
        assert {_name(m): m for m in ours} == {_name(m): m for m in theirs}, overlay
        print(f"{overlay.name}: {len(ours)} manifests, equal")


if __name__ == "__main__":
    _compare_with_kubectl()
