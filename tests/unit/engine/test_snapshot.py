"""What a checkpoint holds, and what is done with it; that resuming is exact is tested in tests/parity."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from helpers_fit import Regression, loader, trainer
from helpers_resume import Net, Scenario, make_data, run
from leyden.callbacks import EarlyStopping, ModelCheckpoint, Timer
from leyden.errors import CheckpointError, MisconfigurationException

# Each hook, and which of its calls saves.
HOOKS = {
    "on_fit_start": 1, "on_train_start": 1, "on_train_epoch_start": 2, "on_train_batch_start": 3, "on_before_zero_grad": 3,
    "on_before_backward": 3, "on_after_backward": 3, "on_before_optimizer_step": 3, "on_train_batch_end": 3,
    "on_validation_start": 2, "on_validation_epoch_start": 2, "on_validation_batch_start": 3,
    "on_validation_batch_end": 3, "on_validation_epoch_end": 2, "on_validation_end": 2, "on_train_epoch_end": 1,
    "on_train_end": 1, "on_fit_end": 1,
}  # fmt: skip


class Scheduled(Regression):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class Stopping(EarlyStopping):
    """Does nothing but have a state."""

    state_key = "EarlyStopping{'monitor': 'x', 'mode': 'min'}"
    monitors = False

    def on_train_epoch_end(self, *_: Any) -> None: ...

    def on_validation_end(self, *_: Any) -> None: ...


def fitted(path: Path, module: Any = None, weights_only: bool = False, **arguments: Any) -> dict[str, Any]:
    """Fit for an epoch, save to ``path``, return what the file holds."""
    made = trainer(**arguments)
    made.fit(module or Scheduled(), loader())
    made.save_checkpoint(path, weights_only)
    return torch.load(path, weights_only=True)


def resumed(path: Path, module: Any = None, data: Any = None, **arguments: Any) -> pl.Trainer:
    made = trainer(**({"max_epochs": 2} | arguments))
    made.fit(module or Scheduled(), loader() if data is None else data, ckpt_path=path)
    return made


# -- the file ---------------------------------------------------------------------------------------------------------


def test_a_checkpoint_has_the_keys_that_others_read(tmp_path: Path) -> None:
    checkpoint = fitted(tmp_path / "a.ckpt", callbacks=[Stopping("x"), Timer()])
    assert set(checkpoint) == {
        "epoch", "global_step", "pytorch-lightning_version", "leyden_version", "state_dict", "loops", "callbacks",
        "optimizer_states", "lr_schedulers", "leyden",
    }  # fmt: skip
    assert (checkpoint["epoch"], checkpoint["global_step"]) == (1, 4)
    assert sorted(checkpoint["callbacks"]) == ["EarlyStopping{'monitor': 'x', 'mode': 'min'}", "Timer"]
    fit_loop = checkpoint["loops"]["fit_loop"]
    assert fit_loop["epoch_progress"]["current"] == {"ready": 1, "started": 1, "processed": 1, "completed": 1}
    assert fit_loop["epoch_loop.state_dict"] == {"_batches_that_stepped": 4}
    assert fit_loop["epoch_loop.batch_progress"]["total"]["completed"] == 4


def test_a_weights_only_checkpoint_leaves_out_what_training_needs(tmp_path: Path) -> None:
    class Keyed(Scheduled):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["own"] = [1, 2]

    class Stateful(pl.Callback):
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            checkpoint["optimizer_states"][0]["noted"] = True

    checkpoint = fitted(tmp_path / "a.ckpt", Keyed(), weights_only=True, callbacks=[Stateful()])
    assert set(checkpoint) == {
        "epoch", "global_step", "pytorch-lightning_version", "leyden_version", "state_dict", "loops", "own",
    }  # fmt: skip
    with pytest.raises(KeyError, match="holds only the model"):
        resumed(tmp_path / "a.ckpt")


def test_modules_and_callbacks_keep_keys_of_their_own(tmp_path: Path) -> None:
    class Keyed(Scheduled):
        loaded: Any = None

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["words"] = {"a": torch.ones(2)}

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            self.loaded = checkpoint["words"]
            checkpoint["state_dict"] = {name: torch.zeros_like(v) for name, v in checkpoint["state_dict"].items()}

    class Stateful(pl.Callback):
        count = 0

        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            checkpoint["count"] = 5

        def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            self.count = checkpoint["count"]

    fitted(tmp_path / "a.ckpt", Keyed(), callbacks=[Stateful()])
    module, callback = Keyed(), Stateful()
    resumed(tmp_path / "a.ckpt", module, max_epochs=1, callbacks=[callback])
    assert torch.equal(module.loaded["a"], torch.ones(2))
    assert callback.count == 5
    assert all(not parameter.any() for parameter in module.parameters())


def test_the_data_modules_state_and_hyper_parameters(tmp_path: Path) -> None:
    class Data(pl.LightningDataModule):
        def __init__(self, batch_size: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.seen = 0

        def train_dataloader(self) -> Any:
            return loader()

        def state_dict(self) -> dict[str, Any]:
            return {"seen": 7}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.seen = state_dict["seen"]

    made = trainer()
    made.fit(Scheduled(), datamodule=Data(batch_size=4))
    made.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert checkpoint["datamodule_hyper_parameters"] == {"batch_size": 4}
    assert checkpoint[Data.__qualname__] == {"seen": 7}
    data = Data()
    trainer(max_epochs=1).fit(Scheduled(), datamodule=data, ckpt_path=tmp_path / "a.ckpt")
    assert data.seen == 7


def test_float64_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    module, other = Scheduled(), Scheduled()
    fitted(tmp_path / "a.ckpt", module, precision="64-true")
    resumed(tmp_path / "a.ckpt", other, max_epochs=1, precision="64-true")
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))


class Drawer:
    """A CheckpointIO: keeps checkpoints in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self.kept[str(path)] = checkpoint

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.kept[str(path)]

    def remove_checkpoint(self, path: Any) -> None:
        del self.kept[str(path)]


def test_a_plugin_reads_writes_and_removes(tmp_path: Path) -> None:
    drawer = Drawer()
    made = trainer(plugins=[drawer])
    made.fit(Scheduled(), loader())
    made.save_checkpoint("interrupted.ckpt")
    again = trainer(plugins=[drawer], max_epochs=2)
    again.fit(Scheduled(), loader(), ckpt_path="interrupted.ckpt")
    assert again.global_step == 8
    again.save_checkpoint("regular.ckpt")
    assert list(drawer.kept) == ["regular.ckpt"]


# -- what does not fit --------------------------------------------------------------------------------------------------


class Two(Scheduled):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), 0.1), torch.optim.SGD(self.parameters(), 0.1)]


class Unscheduled(Scheduled):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def test_another_number_of_optimizers_or_schedulers_is_an_error(tmp_path: Path) -> None:
    fitted(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="holds 1 optimizers, but `configure_optimizers` returned 2"):
        resumed(tmp_path / "a.ckpt", Two())
    with pytest.raises(CheckpointError, match="holds 1 schedulers, but `configure_optimizers` returned 0"):
        resumed(tmp_path / "a.ckpt", Unscheduled())


def test_row_97_beyond_max_epochs_is_an_error_and_at_it_nothing_is_left_to_do(tmp_path: Path) -> None:
    fitted(tmp_path / "a.ckpt", max_epochs=2)
    with pytest.raises(MisconfigurationException, match="saved in epoch 2, but `max_epochs` is 1"):
        resumed(tmp_path / "a.ckpt", max_epochs=1)
    made = resumed(tmp_path / "a.ckpt", max_epochs=2)
    assert (made.current_epoch, made.global_step) == (2, 8)
    assert made.state.finished


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing.ckpt"):
        resumed(tmp_path / "nothing.ckpt")


class Validated(Scheduled):
    def validation_step(self, batch: Any, batch_idx: int) -> None: ...


def test_weights_that_do_not_match_need_strict_loading_to_be_off(tmp_path: Path) -> None:
    class Wider(Validated):
        def __init__(self) -> None:
            super().__init__()
            self.extra = torch.nn.Parameter(torch.zeros(1), requires_grad=False)

    fitted(tmp_path / "a.ckpt")
    with pytest.raises(RuntimeError, match="Missing key"):
        trainer().validate(Wider(), loader(), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    lenient = Wider()
    lenient.strict_loading = False
    trainer().validate(lenient, loader(), ckpt_path=tmp_path / "a.ckpt", verbose=False)


def test_the_state_of_an_absent_callback_is_announced(tmp_path: Path) -> None:
    fitted(tmp_path / "a.ckpt", callbacks=[Timer()])
    with pytest.warns(UserWarning, match=r"does not have: \['Timer'\]"):
        resumed(tmp_path / "a.ckpt")
    trainer().validate(Validated(), loader(), ckpt_path=tmp_path / "a.ckpt", verbose=False)  # not there


def test_other_data_is_an_error(tmp_path: Path) -> None:
    fitted(tmp_path / "a.ckpt")
    with pytest.raises(MisconfigurationException, match="data set of length 6 .* data set of length 8"):
        resumed(tmp_path / "a.ckpt", data=loader(6))


def test_other_threads_are_announced(tmp_path: Path) -> None:
    fitted(tmp_path / "a.ckpt")
    torch.set_num_threads(2)
    with pytest.warns(UserWarning, match="not to the same bits: threads was 1 and is 2"):
        resumed(tmp_path / "a.ckpt")


def test_a_run_that_was_to_stop_says_so_and_can_be_told_to_go_on(tmp_path: Path) -> None:
    class Stop(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 0

    class GoOn(pl.Callback):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            trainer.should_stop = False

    fitted(tmp_path / "a.ckpt", callbacks=[Stop()], max_epochs=3)
    with pytest.warns(UserWarning, match="asked to stop"):
        assert resumed(tmp_path / "a.ckpt", max_epochs=3).current_epoch == 1
    assert resumed(tmp_path / "a.ckpt", max_epochs=3, callbacks=[GoOn()]).current_epoch == 3


def test_time_since_validation_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    class Slow(Net):
        def on_train_batch_end(self, *_: Any) -> None:
            nonlocal now
            now += 1.0

    arguments = {"val_check_interval": timedelta(seconds=4), "max_epochs": 1, "num_sanity_val_steps": 0}
    calm = run(Scenario(Slow, arguments=arguments), tmp_path, seed=1)
    path = tmp_path / "saved" / "steps" / "step=2.ckpt"
    now = 5000.0
    with pytest.warns(UserWarning, match="does not have"):
        later = run(Scenario(Slow, arguments=arguments), tmp_path, seed=2, ckpt_path=path, save=False)
    places = [event[2] for event in calm.events if event[0] == "validation"]
    assert places == [event[2] for event in later.events if event[0] == "validation"] == [4]


# -- saved in the middle of things --------------------------------------------------------------------------------------


class Double(Net):
    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.loss(batch)

    def loss(self, batch: Any) -> torch.Tensor:
        batches = batch if isinstance(batch[0], (list, tuple)) else [batch]
        return torch.stack([super(Double, self).loss(part) for part in batches]).sum()


class SavesAt(pl.Callback):
    def __init__(self, hook: str, path: Path) -> None:
        self.left = HOOKS[hook]

        def save(trainer: Any, *_: Any) -> None:
            self.left -= not trainer.sanity_checking
            if self.left == 0:
                trainer.save_checkpoint(path)
                self.left = -1

        setattr(self, hook, save)


@pytest.mark.parametrize("two_loaders", [False, True])
@pytest.mark.parametrize("hook", HOOKS)
def test_saved_in_any_hook_each_sample_is_still_seen_once(hook: str, two_loaders: bool, tmp_path: Path) -> None:
    def train() -> Any:
        loaders = [DataLoader(TensorDataset(*make_data(count)), batch_size=4, shuffle=True) for count in (23, 11)]
        return loaders if two_loaders else loaders[0]

    path = tmp_path / "a.ckpt"
    arguments = {"val_check_interval": 2, "enable_checkpointing": False, "logger": False, "num_sanity_val_steps": 0}
    saves = SavesAt(hook, path)
    calm = run(Scenario(Double, train, callbacks=lambda: [saves], arguments=arguments), tmp_path, seed=1, save=False)
    later = run(Scenario(Double, train, arguments=arguments), tmp_path, seed=2, ckpt_path=path, save=False)
    seen = torch.load(path, weights_only=True)["leyden"]["progress"]["seen"] * (2 if two_loaders else 1)
    for epoch in (0, 1):  # random numbers that the half-done batch had drawn are drawn again: not to the same bits
        assert per_epoch(later.samples, epoch) == per_epoch(calm.samples[seen:], epoch)


def per_epoch(samples: list[Any], epoch: int) -> list[int]:
    return sorted(number for found, numbers in samples for number in numbers if found == epoch)


# -- files of others ----------------------------------------------------------------------------------------------------


def foreign(epochs: tuple[int, int, int], batches: tuple[int, int], step: int) -> dict[str, Any]:
    """A checkpoint as Lightning writes it: epochs started, processed, completed; batches processed, completed."""
    started, processed, completed = epochs
    epoch_counts = {"ready": started, "started": started, "processed": processed, "completed": completed}
    batch_counts = {"ready": batches[0], "started": batches[0], "processed": batches[0], "completed": batches[1]}
    optimizer = torch.optim.SGD(Scheduled().parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    return {
        "epoch": completed,
        "global_step": step,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {name: torch.full_like(value, 0.5) for name, value in Scheduled().state_dict().items()},
        "loops": {
            "fit_loop": {
                "epoch_progress": {"total": epoch_counts, "current": epoch_counts},
                "epoch_loop.state_dict": {"_batches_that_stepped": batches[1]},
                "epoch_loop.batch_progress": {"total": batch_counts, "current": batch_counts, "is_last_batch": False},
            }
        },
        "callbacks": {"EarlyStopping{'monitor': 'x', 'mode': 'min'}": {
            "wait_count": 2, "stopped_epoch": 0, "best_score": torch.tensor(0.25), "patience": 9}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("epochs", "batches", "expected"),
    [
        ((1, 0, 0), (3, 2), ["validation", (0, 3)]),  # saved at the end of the third batch, its validation due
        ((1, 0, 0), (3, 3), [(0, 3)]),  # saved at the end of that validation
        ((1, 1, 0), (4, 4), [(1, 0), (1, 1), (1, 2), "validation", (1, 3)]),  # saved at the end of the first epoch
        ((1, 1, 1), (4, 4), [(1, 0), (1, 1), (1, 2), "validation", (1, 3)]),  # saved after a fit of one epoch
    ],
)
def test_a_file_of_lightning_goes_on_at_its_place(
    epochs: tuple[int, int, int], batches: tuple[int, int], expected: list[Any], tmp_path: Path
) -> None:
    class Noting(Scheduled):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            noted.append("validation")

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            noted.append((self.current_epoch, batch_idx))

    noted: list[Any] = []
    torch.save(foreign(epochs, batches, step=batches[0]), tmp_path / "theirs.ckpt")
    stopping = Stopping("x")
    made = trainer(max_epochs=epochs[1] + 1, val_check_interval=3, callbacks=[stopping], limit_val_batches=1)
    with pytest.warns(UserWarning, match="written by Lightning"):
        made.fit(Noting(), loader(), loader(), ckpt_path=tmp_path / "theirs.ckpt")
    assert noted == expected
    assert made.global_step == batches[0] + 4 - (batches[0] % 4)
    assert (stopping.wait_count, stopping.patience, stopping.best_score.item()) == (2, 9, 0.25)


def test_a_checkpoint_is_saved_when_the_batch_is_over_and_at_once_when_asked_directly(tmp_path: Path) -> None:
    class Both(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 1:
                trainer.save_checkpoint(tmp_path / "now.ckpt")
                trainer.when_settled(lambda: trainer.save_checkpoint(tmp_path / "later.ckpt"))
                found.append(sorted(path.name for path in tmp_path.glob("*.ckpt")))

        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 2:
                found.append(sorted(path.name for path in tmp_path.glob("*.ckpt")))

    found: list[list[str]] = []
    trainer(callbacks=[Both()]).fit(Scheduled(), loader())
    assert found == [["now.ckpt"], ["later.ckpt", "now.ckpt"]]


def test_saving_changes_nothing(tmp_path: Path) -> None:
    plain = run(Scenario(), tmp_path / "plain", seed=3, save=False)
    saving = run(Scenario(), tmp_path / "saving", seed=3)
    assert plain.rows == saving.rows
    assert plain.samples == saving.samples


def test_a_fit_can_be_saved_after_a_test_too(tmp_path: Path) -> None:
    class Tested(Scheduled):
        def test_step(self, batch: Any, batch_idx: int) -> None: ...

    made, module = trainer(callbacks=[ModelCheckpoint(tmp_path)], enable_checkpointing=True), Tested()
    made.fit(module, loader())
    made.test(module, loader(), verbose=False)
    made.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match="does not have"):
        assert resumed(tmp_path / "a.ckpt").global_step == 8
