from __future__ import annotations

from typing import ClassVar

import pytest

from leyden.errors import MisconfigurationException
from leyden.runtime.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    TorchElasticEnvironment,
    detect_environment,
)

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


def test_without_a_launcher_the_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    environment = detect_environment()
    assert isinstance(environment, LightningEnvironment)
    assert (environment.world_size(), environment.global_rank(), environment.local_rank()) == (1, 0, 0)
    assert not environment.creates_processes_externally


@pytest.mark.usefixtures("torchrun")
def test_torchrun_is_recognised_and_read() -> None:
    environment = detect_environment()
    assert isinstance(environment, TorchElasticEnvironment) and environment.creates_processes_externally
    assert (environment.main_address, environment.main_port) == ("host", 29500)
    assert (environment.world_size(), environment.global_rank(), environment.local_rank()) == (4, 3, 1)
    assert (environment.node_rank(), environment.local_world_size()) == (1, 2)


@pytest.mark.usefixtures("torchrun")
@pytest.mark.parametrize(("num_devices", "num_nodes"), [(4, 1), (2, 1), (1, 4)])
def test_asking_for_other_than_was_launched(num_devices: int, num_nodes: int) -> None:
    environment = detect_environment()
    environment.validate_settings(num_devices=2, num_nodes=2)
    with pytest.raises(MisconfigurationException, match=r"Accepted: devices=2 and num_nodes=2\. Fix"):
        environment.validate_settings(num_devices, num_nodes)


class Cluster(ClusterEnvironment):
    """A launcher of the user's own, described by its variables."""

    creates_processes_externally = True
    variables: ClassVar[dict[str, str]] = {"world_size": "NTASKS", "global_rank": "TASK", "local_rank": "TASK"}


def test_an_environment_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NTASKS", "4")
    monkeypatch.setenv("TASK", "2")
    cluster = Cluster()
    assert (cluster.world_size(), cluster.global_rank(), cluster.local_rank(), cluster.node_rank()) == (4, 2, 2, 0)
    assert cluster.local_world_size() is None
    cluster.validate_settings(num_devices=4, num_nodes=1)
    cluster.validate_settings(num_devices=2, num_nodes=2)
    with pytest.raises(MisconfigurationException, match="ask for 2 x 1 processes, but 4 run"):
        cluster.validate_settings(num_devices=2, num_nodes=1)
