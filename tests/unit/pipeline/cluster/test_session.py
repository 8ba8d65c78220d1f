"""How many labelers fit, and which Ray clusters are refused; no test starts a Ray."""

import socket
import threading
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import ray
from ray._private import services

from pipeline.cluster import start
from pipeline.cluster.labeler_pool import (
    CALLS_AT_ONCE,
    CPUS_FOR_TASKS,
    LabelerPool,
    cluster_pool,
    labeler_pool,
)
from pipeline.cluster.quiet import EMPTY_FROM, FULL_FROM
from pipeline.cluster.session import ray_session, refuse_what_does_not_fit
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError, UsageError


def config(**options: object) -> RunConfig:
    return RunConfig.model_validate({"input": "photos", "output": "out", **options})


@pytest.mark.parametrize(
    ("options", "resources", "expected"),
    [
        ({}, {"CPU": 2}, LabelerPool(workers=1, threads=1, gpus=0)),
        ({}, {"CPU": 4}, LabelerPool(workers=1, threads=2, gpus=0)),
        ({}, {"CPU": 18}, LabelerPool(workers=8, threads=2, gpus=0)),
        ({"workers": 3}, {"CPU": 18}, LabelerPool(workers=3, threads=2, gpus=0)),
        ({}, {"CPU": 18, "GPU": 4}, LabelerPool(workers=4, threads=1, gpus=1, cpus_a_gpu=4)),
        ({}, {"CPU": 4, "GPU": 4}, LabelerPool(workers=3, threads=1, gpus=1, cpus_a_gpu=1)),
        ({"workers": 2}, {"CPU": 18, "GPU": 4}, LabelerPool(workers=2, threads=1, gpus=1, cpus_a_gpu=4)),
        ({"device": "cpu"}, {"CPU": 18, "GPU": 4}, LabelerPool(workers=8, threads=2, gpus=0)),
        ({"device": "cuda"}, {"CPU": 4, "GPU": 1}, LabelerPool(workers=1, threads=1, gpus=1, cpus_a_gpu=4)),
    ],
)
def test_the_labelers_that_fit(
    options: dict[str, object], resources: dict[str, float], expected: LabelerPool
) -> None:
    pool = labeler_pool(config(**options), resources)
    assert pool == expected
    assert all(resources.get(kind, 0) >= need for kind, need in pool.needs.items()), "else the run would hang"


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(1, (1, 1)), (2, (1, 2)), (3, (1, 2)), (4, (2, 2)), (16, (8, 2)), (17, (8, 2))],
)
def test_labelers_of_a_local_ray_use_no_more_threads_than_there_are_cores(
    cores: int, expected: tuple[int, int]
) -> None:
    pool = labeler_pool(config(), {"CPU": max(4, cores + 2)}, cores)
    assert (pool.workers, pool.threads) == expected


@pytest.mark.parametrize(
    ("options", "resources", "message"),
    [
        ({"device": "cuda"}, {"CPU": 8}, "finds no GPU"),
        ({"workers": 4}, {"CPU": 8}, r"4 labelers need 9 CPUs \(Ray has 8 here\); give at most 3 as"),
        (
            {"workers": 3},
            {"CPU": 8, "GPU": 2},
            r"3 labelers need 3 GPUs \(Ray has 2 here\); give at most 2 as",
        ),
        ({}, {"CPU": 1}, r"1 labelers need 2 CPUs"),
        ({}, {}, "need 2 CPUs"),
    ],
)
def test_what_does_not_fit_is_refused(
    options: dict[str, object], resources: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        labeler_pool(config(**options), resources)


@pytest.mark.parametrize(
    ("options", "nodes", "workers", "threads"),
    [
        ({}, [(0, 0), (2, 0), (2, 0)], 1, 2),  # one CPU for other work is half of a labeler's
        ({}, [(1, 0)] * 4, 3, 1),  # two threads are nowhere
        ({}, [(2, 0)], 1, 1),
        ({}, [(0, 0), (4, 4), (1, 4), (2, 0)], 5, 1),  # a GPU without a CPU does not count
        ({}, [(2, 2), (2, 2)], 3, 1),
        ({"workers": 2}, [(4, 4), (4, 4)], 2, 1),
        ({"workers": 9}, [(4, 4), (5, 4)], 8, 1),
        ({"device": "cpu"}, [(4, 4), (5, 4)], 4, 2),
    ],
)
def test_the_labelers_for_which_a_cluster_has_room(
    options: dict[str, object], nodes: list[tuple[int, int]], workers: int, threads: int
) -> None:
    pool = cluster_pool(config(**options), [{"CPU": cpus, "GPU": gpus} for cpus, gpus in nodes])
    assert (pool.workers, pool.threads) == (workers, threads)
    assert pool.strategy.max_size == (options.get("workers", float("inf")) if pool.gpus else workers)


def test_labelers_of_a_cluster_leave_a_cpu_free_and_no_more() -> None:
    random = Random(0)
    for _ in range(1000):
        nodes = [{"CPU": random.randrange(6), "GPU": random.randrange(4)} for _ in range(random.randrange(5))]
        cpus, gpus = (sum(node[kind] for node in nodes) for kind in ("CPU", "GPU"))
        most_cpus = max((node["CPU"] for node in nodes), default=0) if len(nodes) > 1 else cpus - 1
        threads = 1 if gpus else max(1, min(2, most_cpus))
        room = sum(min(node["CPU"], node["GPU"]) if gpus else node["CPU"] // threads for node in nodes)
        while room > 0 and room * threads + CPUS_FOR_TASKS > cpus:
            room -= 1
        if room:
            assert cluster_pool(config(), nodes).workers == room
        else:
            with pytest.raises(UsageError, match="has room for a labeler"):
                cluster_pool(config(), nodes)


@pytest.mark.parametrize(
    ("options", "nodes"),
    [({}, []), ({}, [(1, 0)]), ({}, [(0, 4), (8, 0)]), ({"device": "cuda"}, [(8, 0)])],
)
def test_a_cluster_with_room_for_none_is_waited_for(
    options: dict[str, object], nodes: list[tuple[int, int]]
) -> None:
    with pytest.raises(UsageError, match=r"no node of the Ray cluster has room|finds no GPU"):
        cluster_pool(config(**options), [{"CPU": cpus, "GPU": gpus} for cpus, gpus in nodes])


@pytest.mark.parametrize("address", ["10.1.2.3:6379", "ray.example.com:6379", "[2001:db8::1]:6379"])
def test_a_cluster_without_token_authentication_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with (
        pytest.raises(UsageError, match="without token authentication"),
        ray_session(config(address=address)),
    ):
        pass


def test_a_cluster_from_the_environment_is_held_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.1.2.3:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(UsageError, match="without token authentication"), ray_session(config()):
        pass


@pytest.mark.parametrize("asked", [{"address": "auto"}, {}], ids=["option", "environment"])
def test_auto_is_held_to_the_same_by_the_address_that_it_leads_to(
    asked: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.1.2.3:6379")  # where `ray start` leaves it
    monkeypatch.setattr(services, "find_gcs_addresses", frozenset)  # ignores other Rays of this machine
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if not asked:
        monkeypatch.setenv("RAY_ADDRESS", "auto")
    with (
        pytest.raises(UsageError, match=r"10\.1\.2\.3:6379 without token authentication"),
        ray_session(config(**asked)),
    ):
        pass


def test_auto_where_no_ray_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "find_gcs_addresses", frozenset)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(SamLabelError, match="Ray at auto cannot be used: Could not find any running Ray"):
        refuse_what_does_not_fit(config(address="auto"))


def test_a_ray_of_its_own_is_not_opened_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(UsageError, match="RAY_AUTH_MODE is set to something other"), ray_session(config()):
        pass


def test_a_fault_without_a_message_gives_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(SamLabelError, match=r"Ray at 127\.0\.0\.1:1 cannot be used: TimeoutError"),
        ray_session(config(address="127.0.0.1:1")),
    ):
        pass


def test_what_this_machine_lacks_is_missed_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "gpus_here", lambda: 0)
    with pytest.raises(UsageError, match="finds no GPU"):
        refuse_what_does_not_fit(config(device="cuda"))
    with pytest.raises(UsageError, match="500 labelers need"):
        refuse_what_does_not_fit(config(workers=500))
    refuse_what_does_not_fit(config())


def test_ray_client_is_refused() -> None:
    with pytest.raises(UsageError, match="Ray Client"), ray_session(config(address="ray://10.1.2.3:10001")):
        pass


def test_a_cluster_that_is_gone_is_refused_in_time(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:  # bound, not listening: whoever connects is refused
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(SamLabelError, match=f"the Ray cluster at {address} did not answer within 1 s"):
            refuse_what_does_not_fit(config(address=address, cluster_wait_s=1))
    assert caplog.messages[0].startswith(f"waiting up to 1 s for the Ray cluster at {address}")


def test_a_cluster_that_comes_up_meanwhile_is_met() -> None:
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{late.getsockname()[1]}"
        timer = threading.Timer(0.3, late.listen)
        timer.start()
        refuse_what_does_not_fit(config(address=address))
        timer.join()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999", "[::1:6379"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"is not the address of a Ray cluster; give HOST:PORT|token auth"):
        refuse_what_does_not_fit(config(address=address))


def test_a_ray_that_never_starts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(ray, "init", lambda **_: over.wait())
    monkeypatch.setattr(start, "JOIN_S", 0.2)
    with (
        pytest.raises(SamLabelError, match=r"Ray at 127\.0\.0\.1:1 did not start within 0\.2 s"),
        ray_session(config(address="127.0.0.1:1")),
    ):
        pass
    over.set()


def test_blocks_grow_with_a_run_on_gpus() -> None:
    pool = LabelerPool(workers=4, threads=1, gpus=1)
    assert [pool.images_in_block(images) for images in (10, 1_000, 3_200, 10**9)] == [8, 15, 50, 64]
    assert LabelerPool(workers=4, threads=2, gpus=0).images_in_block(10**9) == 8


def test_labelers_are_called_with_two_blocks_at_once_and_a_pool_grows_when_each_has_one() -> None:
    strategy = LabelerPool(workers=4, threads=1, gpus=1, is_elastic=True).strategy
    assert strategy.enable_true_multi_threading
    assert strategy.max_concurrent_calls_per_actor == strategy.max_tasks_in_flight_per_actor == CALLS_AT_ONCE
    assert (FULL_FROM * CALLS_AT_ONCE, EMPTY_FROM * CALLS_AT_ONCE) == (1, 0.5)
    assert CALLS_AT_ONCE == 2


def test_blocks_of_large_images_hold_few() -> None:
    pool = LabelerPool(workers=4, threads=1, gpus=1)
    assert [pool.images_in_block(10**9, size) for size in (446e3, 1 << 20, 20e6, 10e9)] == [64, 32, 1, 1]
    assert pool.images_in_block(10**9, 20e6, are_frames=True) == 8
    assert LabelerPool(workers=4, threads=2, gpus=0).images_in_block(10**9, 5e6) == 6


@pytest.mark.parametrize(("cpus", "decoders"), [(2, 2), (4, 2), (6, 3), (8, 4), (64, 4)])
def test_a_gpu_has_decoders_as_its_node_has_cpus(cpus: int, decoders: int) -> None:
    nodes = [{"CPU": 64.0}, {"CPU": 2.0 * cpus, "GPU": 2.0}, {"CPU": 208.0, "GPU": 1.0}]
    assert cluster_pool(config(), nodes).decoders == decoders
    assert cluster_pool(config(), [{"CPU": 64.0}]).decoders == 1


@pytest.mark.parametrize(
    ("gpus", "free_gb", "gb"), [(0, 12, 1), (1, 12, 1), (8, 12, 8), (8, 4, 4), (8, 0, 1), (0, 0, 1)]
)
def test_a_local_ray_has_shared_memory_for_each_gpu(
    gpus: int, free_gb: int, gb: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "gpus_here", lambda: gpus)
    monkeypatch.setattr(start.shutil, "disk_usage", lambda _: SimpleNamespace(free=free_gb << 30))
    assert start.object_store_bytes() == gb << 30
