"""Golden call orders of fit: module, data module and callbacks that override every hook."""

from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import loader, trainer
from leyden.core.datamodule import DataHooks
from leyden.core.model_hooks import ModelHooks

DATA_HOOKS = [
    "prepare_data", "setup", "teardown", "train_dataloader", "val_dataloader", "on_before_batch_transfer",
    "transfer_batch_to_device", "on_after_batch_transfer", "state_dict", "load_state_dict",
]  # fmt: skip
MODULE_HOOKS = [
    *(name for name in vars(ModelHooks) if name.startswith("on_")),
    *("prepare_data", "setup", "teardown", "configure_callbacks", "configure_model", "configure_optimizers"),
    *("optimizer_step", "optimizer_zero_grad", "backward", "lr_scheduler_step", "configure_gradient_clipping"),
    *("zero_grad", "load_state_dict"),
]
CALLBACK_HOOKS = [*(n for n in vars(pl.Callback) if n.startswith("on_")), "setup", "teardown", "load_state_dict"]


class Small(pl.LightningModule):
    calls: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.calls.append("lm.training_step")
        return (self.layer(batch[0]) - batch[1]).square().mean()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.calls.append("lm.validation_step")

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        per_step = {"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1), "interval": "step"}
        return [optimizer], [per_step, torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class Manual(Small):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, batch_idx))
        optimizer.step()


class Data(pl.LightningDataModule):
    loaders = 1

    def train_dataloader(self) -> Any:
        return loader(4)

    def val_dataloader(self) -> Any:
        return loader(4, 4) if self.loaders == 1 else [loader(4, 4) for _ in range(self.loaders)]


def recording(kind: type, names: list[str], prefix: str, calls: list[str]) -> Any:
    """A subclass of ``kind`` that notes each call of ``names`` and passes it on."""

    def method(name: str) -> Any:
        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(f"{prefix}.{name}")
            return getattr(kind, name)(self, *args, **kwargs)

        return noted

    return type(kind.__name__, (kind,), {"calls": calls, **{name: method(name) for name in names}})


def run(kind: type = Small, loaders: int = 1, ckpt_path: str | None = None, **arguments: Any) -> list[str]:
    calls: list[str] = []
    module = recording(kind, MODULE_HOOKS, "lm", calls)()
    data = recording(Data, DATA_HOOKS, "dm", calls)()
    data.loaders = loaders
    plain = recording(pl.Callback, CALLBACK_HOOKS, "cb", calls)()
    monitor = recording(pl.Callback, CALLBACK_HOOKS, "mc", calls)()
    monitor.monitors = True
    trainer(callbacks=[plain, monitor], **arguments).fit(module, datamodule=data, ckpt_path=ckpt_path)
    return calls


def every(*names: str) -> list[str]:
    """The hooks of both callbacks, then of the module, one after the other."""
    return [f"{owner}.{name}" for name in names for owner in ("cb", "mc", "lm")]


BEGIN = [
    "lm.configure_callbacks", "dm.prepare_data", "lm.prepare_data", "dm.setup", "cb.setup", "mc.setup", "lm.setup",
    "lm.configure_model", "lm.configure_optimizers", *every("on_fit_start"), "lm.zero_grad",
]  # fmt: skip
END = [*every("on_train_end", "on_fit_end"), "dm.teardown", *every("teardown")]
TRANSFER = ["dm.on_before_batch_transfer", "dm.transfer_batch_to_device", "dm.on_after_batch_transfer"]
VALIDATION_BATCH = [
    *TRANSFER, *every("on_validation_batch_start"), "lm.validation_step", *every("on_validation_batch_end"),
]  # fmt: skip
ZERO_GRAD = [*every("on_before_zero_grad"), "lm.optimizer_zero_grad"]
BACKWARD = [*every("on_before_backward"), "lm.backward", *every("on_after_backward")]
CLIP = [*every("on_before_optimizer_step"), "lm.configure_gradient_clipping"]
STEP = ["lm.optimizer_step", "lm.training_step", *ZERO_GRAD, *BACKWARD, *CLIP]
TICK = "lm.lr_scheduler_step"
EPOCH_END = ["cb.on_train_epoch_end", "lm.on_train_epoch_end", "mc.on_train_epoch_end"]
START = every("on_train_start", "on_train_epoch_start")
FREE = ["lm.on_validation_model_zero_grad", "lm.zero_grad"]


def validation(loaders: int = 1, first: bool = False) -> list[str]:
    return [
        *(["dm.val_dataloader"] if first else []),
        "lm.on_validation_model_eval",
        *every("on_validation_start", "on_validation_epoch_start"),
        *VALIDATION_BATCH * loaders,
        *every("on_validation_epoch_end", "on_validation_end"),
        "lm.on_validation_model_train",
    ]


def sanity(loaders: int = 1) -> list[str]:
    return [
        *("cb.on_sanity_check_start", "mc.on_sanity_check_start"),
        *validation(loaders, first=True),
        *("cb.on_sanity_check_end", "mc.on_sanity_check_end"),
    ]


def batch(step: list[str], ticks: int) -> list[str]:
    return [*TRANSFER, *every("on_train_batch_start"), *step, *[TICK] * ticks, *every("on_train_batch_end")]


BATCHES = batch(STEP, 1) + batch(STEP, 2)  # on the last batch the scheduler per epoch ticks too


def test_plain_fit_with_validation() -> None:
    epoch = [*START, *BATCHES, *FREE, *validation(), *EPOCH_END]
    assert run(num_sanity_val_steps=2) == [*BEGIN, *sanity(), "dm.train_dataloader", *epoch, *END]


def test_two_epochs_without_sanity_check() -> None:
    epoch = [*every("on_train_epoch_start"), *BATCHES, *FREE, *validation(), *EPOCH_END]
    loaders = ["dm.train_dataloader", "dm.val_dataloader"]
    assert run(max_epochs=2) == [*BEGIN, *loaders, *every("on_train_start"), *epoch, *epoch, *END]


def test_accumulation_steps_and_ticks_on_the_closing_batch_only() -> None:
    open_ = batch(["lm.training_step", *ZERO_GRAD, *BACKWARD], 0)
    closing = batch(["lm.optimizer_step", "lm.training_step", *BACKWARD, *CLIP], 2)
    epoch = [*START, *open_, *closing, *FREE, *validation(), *EPOCH_END]
    expected = [*BEGIN, *sanity(), "dm.train_dataloader", *epoch, *END]
    assert run(accumulate_grad_batches=2, num_sanity_val_steps=2) == expected


def test_manual_optimization_calls_only_what_the_module_calls() -> None:
    step = batch(["lm.training_step", *BACKWARD, *every("on_before_optimizer_step")], 0)
    epoch = [*START, *step, *step, *FREE, *validation(), *EPOCH_END]
    assert run(Manual, num_sanity_val_steps=2) == [*BEGIN, *sanity(), "dm.train_dataloader", *epoch, *END]


def test_without_validation() -> None:
    expected = [*BEGIN, "dm.train_dataloader", *START, *BATCHES, *EPOCH_END, *END]
    assert run(limit_val_batches=0, num_sanity_val_steps=2) == expected


def test_several_validation_loaders_are_one_validation() -> None:
    epoch = [*START, *BATCHES, *FREE, *validation(2), *EPOCH_END]
    expected = [*BEGIN, *sanity(2), "dm.train_dataloader", *epoch, *END]
    assert run(loaders=2, num_sanity_val_steps=2) == expected


# What a resumed fit calls between setup and the first batch.
RESTORED = ["lm.on_load_checkpoint", "lm.load_state_dict", "cb.on_load_checkpoint", "mc.on_load_checkpoint"]
RESUMED = [
    *BEGIN[:8], *RESTORED, *BEGIN[8:], "dm.train_dataloader", "dm.val_dataloader", *every("on_train_start"),
]  # fmt: skip


class SaveAt(pl.Callback):
    """Saves when nothing of the batch, or of the epoch, is due any more."""

    def __init__(self, hook: str, path: str) -> None:
        self.saved = False

        def save(trainer: pl.Trainer, *_: Any) -> None:
            if not self.saved:
                self.saved = True
                trainer.when_settled(lambda: trainer.save_checkpoint(path))

        setattr(self, hook, save)


def interrupted(hook: str, path: str) -> str:
    callback = SaveAt(hook, path)
    callback.monitors = True
    trainer(callbacks=[callback]).fit(small(), datamodule=Data())
    return path


def small() -> Small:
    module = Small()
    module.calls = []
    return module


def test_resumed_in_mid_epoch_goes_on_with_the_next_batch(tmp_path: Any) -> None:
    path = interrupted("on_train_batch_end", str(tmp_path / "mid.ckpt"))
    epoch = [*batch(STEP, 2), *FREE, *validation(), *EPOCH_END]  # the epoch's start is not repeated
    assert run(ckpt_path=path, num_sanity_val_steps=2) == [*RESUMED, *epoch, *END]


def test_resumed_at_an_epochs_end_goes_on_with_the_next_epoch(tmp_path: Any) -> None:
    path = interrupted("on_train_epoch_end", str(tmp_path / "end.ckpt"))
    epoch = [*every("on_train_epoch_start"), *BATCHES, *FREE, *validation(), *EPOCH_END]
    assert run(ckpt_path=path, num_sanity_val_steps=2, max_epochs=2) == [*RESUMED, *epoch, *END]


def test_resumed_after_validation_ends_the_epoch_only(tmp_path: Any) -> None:
    path = interrupted("on_validation_end", str(tmp_path / "val.ckpt"))
    assert run(ckpt_path=path) == [*RESUMED, *EPOCH_END, *END]


def test_resumed_from_the_end_of_training_does_nothing_more(tmp_path: Any) -> None:
    path = interrupted("on_train_end", str(tmp_path / "over.ckpt"))
    start = RESUMED[: RESUMED.index("dm.train_dataloader") + 1]
    assert run(ckpt_path=path) == [*start, *every("on_fit_end"), "dm.teardown", *every("teardown")]


@pytest.mark.parametrize("name", ["on_validation_model_train", "on_test_model_train"])
def test_a_mode_hook_that_calls_its_base_switches_back(name: str) -> None:
    module = Small().eval()
    getattr(module, name)()
    assert module.training


def test_all_hooks_of_the_base_classes_are_recorded() -> None:
    untouched = {"save_hyperparameters", "load_from_checkpoint"}
    assert {n for n in vars(DataHooks) if not n.startswith("_") and callable(getattr(DataHooks, n))} - untouched <= {
        *DATA_HOOKS, *MODULE_HOOKS, "test_dataloader", "predict_dataloader",
    }  # fmt: skip
