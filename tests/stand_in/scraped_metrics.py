"""Checks the metrics of a real Ray's endpoint against the queries of the dashboard and of the alerts."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import urlopen

import ray
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

MONITORING = Path(__file__).parents[2] / "infra" / "monitoring"
PATIENCE_S = 30.0  # Ray passes values on every second if it is configured so
SELECTOR = re.compile(r"\b(ray_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")


def queries() -> list[str]:
    """Every query of the dashboard, including its variables, and of the alerts."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    [group] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return asked + [rule["expr"] for rule in group["rules"]]


def scraped(output: str, images: int) -> list[Sample]:
    """The samples of an output's runs, once they count `images`. Raises: AssertionError after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = [sample for sample in _samples() if sample.labels.get("output") == output]
        if total(found, "ray_sam_label_images_total") == images:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def total(samples: list[Sample], name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def check_queries(samples: list[Sample]) -> None:
    """Raises AssertionError for a query with a metric, a label or a label's value that does not exist."""
    for query in queries():
        asked = list(_selected(query))
        assert asked, f"{query} asks for nothing"
        for name, matchers in asked:
            found = [
                one.labels for one in samples if one.name == name and matchers.items() <= one.labels.items()
            ]
            assert found, f"{query}: there is no {name}{matchers}"
            grouped = [label.strip() for by in GROUPING.findall(query) for label in by.split(",")]
            missing = [label for label in grouped if label not in found[0]]
            assert not missing, f"{query}: {name} has no {missing}"


def _samples() -> Iterator[Sample]:
    for node in ray.nodes():
        url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urlopen(url, timeout=10) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                yield from family.samples


def _selected(query: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each metric in a query, with the labels that must have one value."""
    for name, inside in SELECTOR.findall(query):
        matchers = MATCHER.findall(inside)
        assert len(matchers) == inside.count("="), f"{query}: {inside} is not understood"
        yield name, {label: value for label, sign, value in matchers if sign == "="}
