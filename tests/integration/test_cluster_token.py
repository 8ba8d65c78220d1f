"""Which token meets which Ray: a cluster is joined by the user's, a Ray of the run's own has one of its own.

In processes of their own, since Ray and its environment are one a process.
"""

import os
import secrets
import subprocess
import sys
from pathlib import Path

JOIN = """
import os, sys
from ray.cluster_utils import Cluster
from pipeline.cluster.session import ray_session
from pipeline.config import RunConfig

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
with ray_session(RunConfig(input="in", output="out", address=cluster.address)) as pool:
    print(pool.workers, "RAY_AUTH_TOKEN" in os.environ)
"""

OWN_TWICE = """
import os
import ray
from pipeline.cluster.session import ray_session
from pipeline.config import RunConfig

for _ in range(2):
    with ray_session(RunConfig(input="in", output="out")):
        print(ray.get(ray.remote(lambda: os.environ["RAY_AUTH_TOKEN"]).remote()))
    print("RAY_AUTH_TOKEN" in os.environ)
"""


def words_printed_by(script: str, **environment: str) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_cluster_is_joined_by_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(secrets.token_hex(32))
    words = words_printed_by(JOIN, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"))
    assert words[-2:] == ["1", "False"]


def test_a_local_ray_has_a_token_of_its_own_and_takes_it_along(tmp_path: Path) -> None:
    first, after_first, second, after_second = words_printed_by(OWN_TWICE, HOME=str(tmp_path))
    assert len({first, second}) == 2
    assert (after_first, after_second) == ("False", "False")
    assert not (tmp_path / ".ray").exists(), "no token was written for others to find"
