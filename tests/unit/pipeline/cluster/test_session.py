"""The room that labelers get, and the Rays that are refused; nothing is started."""

from pathlib import Path

import pytest
import ray
from ray._private import services
from ray._private.accelerators import NvidiaGPUAcceleratorManager

from pipeline.cluster.labeler_pool import LabelerRoom, labeler_room
from pipeline.cluster.session import ray_session, refuse_what_does_not_fit
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError, UsageError


def config(**options: object) -> RunConfig:
    return RunConfig.model_validate({"input": "photos", "output": "out", **options})


@pytest.mark.parametrize(
    ("options", "resources", "expected"),
    [
        ({}, {"CPU": 2}, LabelerRoom(workers=1, threads=1, gpus=0)),
        ({}, {"CPU": 4}, LabelerRoom(workers=1, threads=2, gpus=0)),
        ({}, {"CPU": 18}, LabelerRoom(workers=8, threads=2, gpus=0)),
        ({"workers": 3}, {"CPU": 18}, LabelerRoom(workers=3, threads=2, gpus=0)),
        ({}, {"CPU": 18, "GPU": 4}, LabelerRoom(workers=4, threads=1, gpus=1)),
        ({}, {"CPU": 4, "GPU": 4}, LabelerRoom(workers=3, threads=1, gpus=1)),
        ({"workers": 2}, {"CPU": 18, "GPU": 4}, LabelerRoom(workers=2, threads=1, gpus=1)),
        ({"device": "cpu"}, {"CPU": 18, "GPU": 4}, LabelerRoom(workers=8, threads=2, gpus=0)),
        ({"device": "cuda"}, {"CPU": 4, "GPU": 1}, LabelerRoom(workers=1, threads=1, gpus=1)),
    ],
)
def test_room(options: dict[str, object], resources: dict[str, float], expected: LabelerRoom) -> None:
    room = labeler_room(config(**options), resources)
    assert room == expected
    assert all(resources.get(kind, 0) >= need for kind, need in room.needs.items()), "else the run would hang"


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(1, (1, 1)), (2, (1, 2)), (3, (1, 2)), (4, (2, 2)), (16, (8, 2)), (17, (8, 2))],
)
def test_labelers_of_a_local_ray_use_no_more_threads_than_there_are_cores(
    cores: int, expected: tuple[int, int]
) -> None:
    room = labeler_room(config(), {"CPU": max(4, cores + 2)}, cores)
    assert (room.workers, room.threads) == expected


@pytest.mark.parametrize(
    ("options", "resources", "message"),
    [
        ({"device": "cuda"}, {"CPU": 8}, "finds no GPU"),
        ({"workers": 4}, {"CPU": 8}, r"4 labelers need 9 CPUs \(it has 8\)"),
        ({"workers": 3}, {"CPU": 8, "GPU": 2}, r"3 labelers need 3 GPUs \(it has 2\)"),
        ({}, {"CPU": 1}, r"1 labelers need 2 CPUs"),
        ({}, {}, "need 2 CPUs"),
    ],
)
def test_what_does_not_fit_is_refused(
    options: dict[str, object], resources: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        labeler_room(config(**options), resources)


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
    monkeypatch.setattr(services, "find_gcs_addresses", frozenset)  # other Rays on this machine are not asked
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if not asked:
        monkeypatch.setenv("RAY_ADDRESS", "auto")
    with (
        pytest.raises(UsageError, match=r"10\.1\.2\.3:6379 would be used without token authentication"),
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


def test_a_fault_without_a_message_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(SamLabelError, match=r"Ray at 127\.0\.0\.1:1 cannot be used: TimeoutError"),
        ray_session(config(address="127.0.0.1:1")),
    ):
        pass


def test_what_this_machine_lacks_is_missed_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NvidiaGPUAcceleratorManager, "get_current_node_num_accelerators", lambda: 0)
    with pytest.raises(UsageError, match="finds no GPU"):
        refuse_what_does_not_fit(config(device="cuda"))
    with pytest.raises(UsageError, match="500 labelers need"):
        refuse_what_does_not_fit(config(workers=500))
    refuse_what_does_not_fit(config())


def test_ray_client_is_refused() -> None:
    with pytest.raises(UsageError, match="Ray Client"), ray_session(config(address="ray://10.1.2.3:10001")):
        pass
