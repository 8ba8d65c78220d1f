"""A run joins a cluster with the user's token; a Ray that it starts has its own token (test_library_use.py).

Each test uses child processes, since a process has one Ray and one environment. The first test's cluster also
has a job server, so that test covers submission too.
"""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

STAND_IN = Path(__file__).parents[1] / "stand_in"

JOIN = """
import json, os, sys
from ray.cluster_utils import Cluster
from pipeline.cluster.session import ray_session, refuse_what_does_not_fit
from pipeline.config import RunConfig
from pipeline.errors import UsageError

# The agent of another Ray on this machine may hold the usual port, and would leave this one without.
with_dashboard = {"include_dashboard": True, "dashboard_port": 0, "dashboard_agent_listen_port": 0}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2} | with_dashboard)
config = RunConfig(input="in", output="out", address=cluster.address)
with ray_session(config) as pool:
    print(pool.workers, "RAY_AUTH_TOKEN" in os.environ)
refuse_what_does_not_fit(config)

sys.path.insert(0, sys.argv[1])
import submitting
submitting.everything(cluster.head_node.address_info["webui_url"], sys.argv[2])

noted = {"ray_version": "2.59.0", "python_version": "3.12.1"}
cluster.head_node.get_gcs_client().internal_kv_put(
    b"CLUSTER_METADATA", json.dumps(noted).encode(), True, b"cluster"
)
try:
    refuse_what_does_not_fit(config)
except UsageError as refused:
    print("::", refused)
"""


def printed_by(script: str, *arguments: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_cluster_is_joined_by_a_token_file_and_takes_jobs(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(secrets.token_hex(32))
    job = tmp_path / "nightly job.toml"
    job.write_text(f'input = "{tmp_path}/photos of ${{DATE}} $(date)"\noutput = "{tmp_path}/masks"\n')
    printed = printed_by(
        JOIN,
        str(STAND_IN),
        str(job),
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"),
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    joined, *commands, refused = printed.split("::")
    assert joined.split()[-2:] == ["1", "False"]
    assert "Ray 2.59.0 and Python 3.12.1, but this machine has Ray" in refused

    followed, listed, unknown, stopped, after_stop, ended, other_token = (words.strip() for words in commands)
    assert followed.startswith("2 ")
    assert "photos of 2026-11-01 $(date); name one that holds images" in followed, "resolved, and quoted"
    jobs = json.loads(listed.partition(" ")[2])
    assert {job["status"] for job in jobs} == {"FAILED", "RUNNING"}
    assert unknown.startswith("2 sam-label: there is no job nope at http://127.0.0.1")
    assert stopped.startswith("0 asked to stop")
    assert after_stop.startswith("130 ")
    assert "ended in order" in after_stop
    assert ended.startswith("130 job ")
    assert "was asked to stop" in ended
    assert ended.count("interrupted; run the same command again") == 2, (
        "the job's own words, and the follower's"
    )
    assert other_token.startswith("2 ")
    assert "RAY_AUTH_TOKEN" in other_token
