from __future__ import annotations

from typing import Any

import pytest
import torch

from leyden.errors import MisconfigurationException
from leyden.legacy.arguments import translate

GPU = torch.cuda.is_available() or torch.backends.mps.is_available()


@pytest.mark.parametrize(
    ("given", "today"),
    [
        ({"gpus": 1}, {"accelerator": "gpu", "devices": 1}),
        ({"gpus": "0,1"}, {"accelerator": "gpu", "devices": "0,1"}),
        ({"gpus": [0, 2]}, {"accelerator": "gpu", "devices": [0, 2]}),
        ({"gpus": 0}, {"accelerator": "cpu"}),
        ({"gpus": None}, {"accelerator": "cpu"}),
        ({"gpus": []}, {"accelerator": "cpu"}),
        ({"gpus": 2, "accelerator": "gpu"}, {"accelerator": "gpu", "devices": 2}),
        ({"gpus": 2, "accelerator": "auto"}, {"accelerator": "gpu", "devices": 2}),
        ({"gpus": 2, "accelerator": "ddp"}, {"strategy": "ddp", "accelerator": "gpu", "devices": 2}),
        ({"gpus": 2, "distributed_backend": "dp"}, {"strategy": "ddp", "accelerator": "gpu", "devices": 2}),
        ({"gpus": 2, "num_processes": 2}, {"accelerator": "gpu", "devices": 2}),
        ({"gpus": 0, "auto_select_gpus": True}, {"accelerator": "cpu"}),
        ({"gpus": None, "tpu_cores": 8}, {"accelerator": "tpu", "devices": 8}),
        ({"num_tpu_cores": 8}, {"accelerator": "tpu", "devices": 8}),
        ({"ipus": None}, {}),
        ({"num_processes": 1}, {"accelerator": "cpu", "devices": 1}),
        ({"num_processes": 2}, {"accelerator": "cpu", "devices": 2, "strategy": "ddp_spawn"}),
        ({"num_processes": 2, "strategy": "ddp"}, {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}),
        (
            {"distributed_backend": "ddp_cpu", "num_processes": 2, "gpus": None},
            {"accelerator": "cpu", "devices": 2, "strategy": "ddp_spawn"},
        ),
        ({"distributed_backend": None}, {}),
        ({"accelerator": "horovod"}, {"strategy": "ddp"}),
        ({"strategy": "ddp2"}, {"strategy": "ddp"}),
        ({"strategy": "ddp_sharded_spawn"}, {"strategy": "fsdp"}),
        ({"strategy": "fsdp_native_full_shard_offload"}, {"strategy": "fsdp_cpu_offload"}),
        ({"strategy": "tpu_spawn"}, {"strategy": "xla"}),
        ({"plugins": "deepspeed"}, {"strategy": "deepspeed"}),
        ({"plugins": ["ddp_sharded", "other"], "accelerator": "ddp"}, {"plugins": ["other"], "strategy": "fsdp"}),
    ],
)
def test_each_row_of_the_table(given: dict[str, Any], today: dict[str, Any]) -> None:
    assert translate(given)[0] == today


def test_every_old_name_is_announced_once() -> None:
    _, messages = translate({"gpus": 2, "distributed_backend": "ddp", "num_processes": 1, "tpu_cores": None})
    assert len(messages) == 4
    assert any("accelerator='gpu', devices=2" in message for message in messages)


def test_todays_values_pass_without_a_word() -> None:
    today = {"accelerator": "cpu", "strategy": "ddp_spawn", "devices": 2, "plugins": None}
    assert translate(today) == (today, [])


@pytest.mark.skipif(GPU, reason="needs a machine without a GPU")
@pytest.mark.parametrize(
    "given",
    [
        {"gpus": -1},
        {"gpus": "-1"},
        {"gpus": -1, "auto_select_gpus": True},
        {"gpus": 2, "auto_select_gpus": True},
        {"auto_select_gpus": True},
    ],
)
def test_what_falls_back_to_the_cpu_says_so(given: dict[str, Any]) -> None:
    today, messages = translate(given)
    assert today == {"accelerator": "auto", "devices": "auto"}
    assert any("the run uses the CPU" in message for message in messages)


@pytest.mark.skipif(not GPU, reason="needs a GPU")
def test_minus_one_asks_for_every_gpu() -> None:
    assert translate({"gpus": -1})[0] == {"accelerator": "gpu", "devices": -1}


def test_a_number_of_gpus_does_not_fall_back() -> None:
    assert translate({"gpus": 2})[0]["accelerator"] == "gpu"


def test_gpus_beside_the_cpu_is_a_contradiction() -> None:
    with pytest.raises(MisconfigurationException, match="accelerator='cpu'"):
        translate({"gpus": 2, "accelerator": "cpu"})


@pytest.mark.parametrize(
    "given", [{"strategy": "bagua"}, {"accelerator": "hivemind"}, {"plugins": "colossalai"}, {"ipus": 4}]
)
def test_what_lives_elsewhere_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Write `"):
        translate(given)
