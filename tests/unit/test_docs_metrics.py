"""The table of metrics in docs/monitoring.md agrees with the code, and the rules have each of its alerts."""

import re
from pathlib import Path

import yaml

from pipeline.metrics.declared import METRICS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")


def test_the_page_lists_the_metrics_that_there_are() -> None:
    listed = re.findall(r"^\| `(ray_\w+)` \|(.*?)\|(.*?)\|(.*?)\|$", PAGE, re.MULTILINE)
    stated = [
        (one.exposed, ", ".join(f"`{label}`" for label in one.labels), one.unit, one.help) for one in METRICS
    ]
    assert [tuple(cell.strip() for cell in row) for row in listed] == stated


def test_the_page_lists_the_alerts_that_there_are() -> None:
    [group] = yaml.safe_load((ROOT / "infra" / "monitoring" / "alerts.yaml").read_text())["groups"]
    assert re.findall(r"^\| `(SamLabel\w+)`", PAGE, re.MULTILINE) == [
        rule["alert"] for rule in group["rules"]
    ]
