"""What a module has: the names and arguments that programs rely on."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, fit, loader, trainer, weights
from leyden.errors import LightningDeprecationWarning
from leyden.loggers import CSVLogger

STEP = "self, *args, **kwargs"
BATCH = "self, batch, batch_idx"
LOADER_BATCH = "self, batch, batch_idx, dataloader_idx=0"
LOG = (
    "prog_bar=False, logger=None, on_step=None, on_epoch=None, reduce_fx='mean', enable_graph=False, sync_dist=False, "
    "sync_dist_group=None, add_dataloader_idx=True, batch_size=None"
)
SIGNATURES = {
    "training_step": STEP,
    "validation_step": STEP,
    "test_step": STEP,
    "predict_step": STEP,
    "configure_optimizers": "self",
    "optimizer_step": "self, epoch, batch_idx, optimizer, optimizer_closure=None",
    "optimizer_zero_grad": "self, epoch, batch_idx, optimizer",
    "lr_scheduler_step": "self, scheduler, metric",
    "configure_gradient_clipping": "self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None",
    "clip_gradients": "self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None",
    "backward": "self, loss, *args, **kwargs",
    "manual_backward": "self, loss, *args, **kwargs",
    "toggle_optimizer": "self, optimizer",
    "untoggle_optimizer": "self, optimizer",
    "toggled_optimizer": "self, optimizer",
    "optimizers": "self, use_pl_optimizer=True",
    "lr_schedulers": "self",
    "configure_callbacks": "self",
    "configure_model": "self",
    "prepare_data": "self",
    "setup": "self, stage",
    "teardown": "self, stage",
    **{f"on_{name}_{end}": "self" for name in ("fit", "train", "train_epoch") for end in ("start", "end")},
    "on_train_batch_start": BATCH,
    "on_train_batch_end": "self, outputs, batch, batch_idx",
    "on_before_zero_grad": "self, optimizer",
    "on_before_backward": "self, loss",
    "on_after_backward": "self",
    "on_before_optimizer_step": "self, optimizer",
    **{
        f"on_{stage}_{moment}": "self"
        for stage in ("validation", "test", "predict")
        for moment in ("start", "end", "epoch_start", "epoch_end", "model_eval")
    },
    **{f"on_{stage}_batch_start": LOADER_BATCH for stage in ("validation", "test", "predict")},
    **{
        f"on_{stage}_batch_end": "self, outputs, batch, batch_idx, dataloader_idx=0"
        for stage in ("validation", "test", "predict")
    },
    "on_validation_model_train": "self",
    "on_test_model_train": "self",
    "on_validation_model_zero_grad": "self",
    **{f"{prefix}_dataloader": "self" for prefix in ("train", "val", "test", "predict")},
    "transfer_batch_to_device": "self, batch, device, dataloader_idx",
    "on_before_batch_transfer": "self, batch, dataloader_idx",
    "on_after_batch_transfer": "self, batch, dataloader_idx",
    "on_save_checkpoint": "self, checkpoint",
    "on_load_checkpoint": "self, checkpoint",
    "load_from_checkpoint": (
        "checkpoint_path, map_location=None, hparams_file=None, strict=None, weights_only=None, **kwargs"
    ),
    "log": f"self, name, value, {LOG}, metric_attribute=None, rank_zero_only=False",
    "log_dict": f"self, dictionary, {LOG}, rank_zero_only=False",
    "print": STEP,
    "all_gather": "self, data, group=None, sync_grads=False",
    "freeze": "self",
    "unfreeze": "self",
    "save_hyperparameters": "self, *args, ignore=None, frame=None, logger=True",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    shown = inspect.signature(getattr(pl.LightningModule, name)).parameters.values()
    parameters = [str(p.replace(annotation=p.empty)) for p in shown]
    assert ", ".join(parameters) == SIGNATURES[name]


def test_attributes_without_a_trainer() -> None:
    module = pl.LightningModule()
    assert (module.fabric, module.device_mesh, module.example_input_array) == (None, None, None)
    assert module.prepare_data_per_node
    assert not module.allow_zero_length_dataloader_with_multiple_devices
    constants = [getattr(module, f"CHECKPOINT_HYPER_PARAMS_{name}") for name in ("KEY", "NAME", "TYPE")]
    assert constants == ["hyper_parameters", "hparams_name", "hparams_type"]


@pytest.mark.parametrize("name", ["on_exception", "on_sanity_check_start", "on_sanity_check_end"])
def test_what_a_module_does_not_have(name: str) -> None:
    assert not hasattr(pl.LightningModule, name)
    assert hasattr(pl.Callback, name)


def test_loggers_of_the_trainer(tmp_path: Path) -> None:
    loggers = [CSVLogger(tmp_path, name="a"), CSVLogger(tmp_path, name="b")]

    class Looks(Regression):
        def on_train_start(self) -> None:
            self.calls += [self.logger, self.loggers]

    module = Looks()
    fit(module, logger=loggers, log_every_n_steps=1)
    assert module.calls[0] is loggers[0]
    assert module.calls[1] == loggers


@pytest.mark.parametrize("count", [0, 1, 2])
def test_schedulers_are_none_one_or_a_list(count: int) -> None:
    class Scheduled(Regression):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            self.schedulers = [torch.optim.lr_scheduler.StepLR(optimizer, n + 1) for n in range(count)]
            return [optimizer], self.schedulers

        def on_train_end(self) -> None:
            expected = self.schedulers if count > 1 else (self.schedulers or [None])[0]
            self.calls.append(self.lr_schedulers() == expected)

    module = Scheduled()
    fit(module)
    assert module.calls[-1] is True


def test_two_methods_that_configure_the_model() -> None:
    class Old(Regression):
        def configure_sharded_model(self) -> None:
            self.calls.append("old")

        def configure_model(self) -> None:
            self.calls.append("new")

    module = Old()
    with pytest.warns(LightningDeprecationWarning, match="configure_model"):
        trainer().fit(module, loader())
    assert module.calls[:2] == ["old", "new"]


def test_parts_can_be_compiled() -> None:
    plain, compiled = Regression(), Regression()
    compiled.layer.compile(backend="eager")
    fit(plain)
    fit(compiled)
    assert torch.equal(weights(plain), weights(compiled))
    assert list(compiled.state_dict()) == ["layer.weight", "layer.bias"]
