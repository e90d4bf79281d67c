"""``leyden.fabric`` has the names that programs import from ``lightning.fabric``."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import leyden as pl

NAMES = {
    "": "Fabric seed_everything is_wrapped",
    "accelerators": "CUDAAccelerator CPUAccelerator MPSAccelerator ACCELERATOR_REGISTRY find_usable_cuda_devices",
    "accelerators.cuda": "num_cuda_devices",
    "fabric": "Fabric",
    "loggers": "CSVLogger TensorBoardLogger Logger",
    "plugins": "TorchCheckpointIO MixedPrecision DoublePrecision HalfPrecision Precision",
    "plugins.environments": "LightningEnvironment TorchElasticEnvironment",
    "plugins.io.checkpoint_io": "CheckpointIO",
    "plugins.io.torch_io": "TorchCheckpointIO",
    "strategies": "STRATEGY_REGISTRY DDPStrategy SingleDeviceStrategy Strategy",
    "utilities": (
        "AttributeDict move_data_to_device suggested_max_num_workers rank_zero_only rank_zero_info rank_zero_warn "
        "disable_possible_user_warnings is_shared_filesystem"
    ),
    "utilities.cloud_io": "get_filesystem",
    "utilities.distributed": "ReduceOp",
    "utilities.enums": "LightningEnum",
    "utilities.exceptions": "MisconfigurationException",
    "utilities.rank_zero": "LightningDeprecationWarning",
    "utilities.seed": "seed_everything",
    "utilities.throughput": "ThroughputMonitor Throughput measure_flops get_available_flops",
    "utilities.types": "Optimizable",
    "utilities.warnings": "PossibleUserWarning",
    "wrappers": "is_wrapped",
}


@pytest.mark.parametrize("path", NAMES)
def test_the_names_are_there(path: str) -> None:
    module = importlib.import_module(f"leyden.fabric.{path}".rstrip("."))
    for name in NAMES[path].split():
        assert getattr(module, name) is not None


def test_there_is_one_fabric() -> None:
    from leyden.fabric import Fabric
    from leyden.fabric.fabric import Fabric as Itself

    assert pl.Fabric is Fabric is Itself


def test_a_program_for_lightnings_fabric_runs_under_the_drop_in() -> None:
    program = """if True:
        import lightning as L, torch
        from lightning.fabric import Fabric
        from lightning.fabric.loggers import CSVLogger
        from lightning.fabric.wrappers import _FabricDataLoader, _FabricModule, _FabricOptimizer, is_wrapped
        assert L.Fabric is Fabric
        fabric = Fabric(accelerator="cpu", devices=1, loggers=CSVLogger(root_dir="logs"))
        model = torch.nn.Linear(2, 1)
        model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
        loader = fabric.setup_dataloaders(torch.utils.data.DataLoader(torch.ones(4, 2), batch_size=2))
        for batch in loader:
            loss = model(batch).sum()
            fabric.backward(loss)
            optimizer.step()
            fabric.log("loss", loss)
        fabric.logger.save()
        print(isinstance(model, _FabricModule), isinstance(optimizer, _FabricOptimizer),
              isinstance(loader, _FabricDataLoader), is_wrapped(model), Fabric.__module__)
    """
    command = [sys.executable, "-W", "error", "-m", "leyden.dropin", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "True True True True leyden.fabric.fabric\n"
