"""The alert rules have tests in Prometheus' own form, which promtool runs: here, where it is installed."""

import shutil
import subprocess
from pathlib import Path

import yaml

MONITORING = Path(__file__).parents[3] / "infra" / "monitoring"
PROMTOOL = shutil.which("promtool")  # in Debian's package prometheus


def test_each_alert_fires_in_a_test_of_the_rules() -> None:
    [group] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    cases = yaml.safe_load((MONITORING / "alerts.test.yaml").read_text())["tests"]
    fired = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one["exp_alerts"]}
    assert fired == {rule["alert"] for rule in group["rules"]}


if PROMTOOL:

    def test_the_rules_answer_made_up_series_as_they_should() -> None:
        tested = subprocess.run(
            [PROMTOOL, "test", "rules", "alerts.test.yaml"], cwd=MONITORING, capture_output=True, text=True
        )
        assert tested.returncode == 0, tested.stdout + tested.stderr
