"""Ray's private names: only one module uses them, and the versions that it was tried with have them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from pipeline.cluster import ray_internals
from pipeline.errors import SamLabelError

ROOT = Path(__file__).parents[4]
ELSEWHERE = [
    path
    for package in ("sam_core", "pipeline", "jobs")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "ray_internals.py"
]


def test_every_name_is_there_in_a_version_that_was_tried() -> None:
    assert ray.__version__ in ray_internals.TRIED_WITH, "try it, then name the version"
    ray_internals.require_internals()


@pytest.mark.parametrize(
    "name", ["ray._private.services:gone", "ray._private.gone:name", "ray:_private.gone"]
)
def test_a_ray_that_lacks_one_is_refused_in_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_internals, "NAMES", (*ray_internals.NAMES, name))
    with pytest.raises(
        SamLabelError, match=r"has no ray.*gone.*; install the version.*ray\[data\]==2\.60\.0"
    ):
        ray_internals.require_internals()


def test_no_other_module_uses_one() -> None:
    uses = [f"{path.relative_to(ROOT)}: {name}" for path in ELSEWHERE for name in private_names(path)]
    assert uses == []


def private_names(path: Path) -> Iterator[str]:
    """Names of Ray, imported or as attributes, that have a part with a leading underscore."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        else:
            continue
        for name in names:
            if re.fullmatch(r"ray(\.\w+)*\._[a-z]\w*(\.\w+)*", name):
                yield name


def test_no_new_ray_is_for_the_while() -> None:
    hook = ray_internals.import_module("ray._private.auto_init_hook")
    assert hook.enable_auto_connect
    with ray_internals.no_new_ray():
        assert not hook.enable_auto_connect
    assert hook.enable_auto_connect
