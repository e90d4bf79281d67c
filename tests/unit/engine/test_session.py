"""The frame of a run: what is set up is torn down, whatever happens; what belongs to it does not stay."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Subset

import leyden as pl
from helpers_fit import loader
from helpers_fit import trainer as quiet
from leyden.callbacks import EarlyStopping, ModelCheckpoint, ModelSummary
from leyden.core.logger import Logger
from leyden.engine.session import leaves_on_interrupt


def trainer(**arguments: Any) -> pl.Trainer:
    return quiet(**({"log_every_n_steps": 1} | arguments))


class Regression(pl.LightningModule):
    """Every step, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, batch: Any) -> torch.Tensor:
        return self.layer(batch)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return torch.nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log_dict({"x": 0.0, "y": 0.0})

    def test_step(self, batch: Any, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Recorder(pl.Callback):
    """Notes every hook that frames a run; raises in those it is told to."""

    def __init__(self, name: str = "callback", fails: dict[str, Exception] | None = None) -> None:
        self.name, self.fails = name, fails or {}
        self.events: list[str] = []

    def note(self, hook: str, *details: Any) -> None:
        self.events.append(" ".join([hook, *map(str, details)]))
        if hook in self.fails:
            raise self.fails[hook]

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.note("setup", stage)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.note("on_fit_start")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if "on_train_batch_end" in self.fails:
            self.note("on_train_batch_end")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        self.note("on_fit_end")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.note("on_exception", type(exception).__name__)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.note("teardown", stage)


class ListLogger(Logger):
    """Remembers what it is given."""

    def __init__(self) -> None:
        self.hparams: list[dict[str, Any]] = []
        self.ended: list[str] = []

    name, version = "list", 0

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.hparams.append(dict(params))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def finalize(self, status: str) -> None:
        self.ended.append(status)


FIT = ["setup fit", "on_fit_start"]


def test_a_fit_is_set_up_and_torn_down() -> None:
    recorder, logger = Recorder(), ListLogger()
    trainer_ = trainer(callbacks=[recorder], logger=logger)
    trainer_.fit(Regression(), loader(), loader())
    assert recorder.events == [*FIT, "on_fit_end", "teardown fit"]
    assert logger.ended == ["success"]
    assert trainer_.state.finished
    trainer_.test(Regression(), loader(), verbose=False)
    assert recorder.events[4:] == ["setup test", "teardown test"]


@pytest.mark.parametrize(
    ("hook", "before"), [("on_fit_start", FIT), ("on_train_batch_end", [*FIT, "on_train_batch_end"])]
)
def test_an_exception_is_told_to_all_and_everything_is_torn_down(hook: str, before: list[str]) -> None:
    error = ValueError("the first")
    first, failing, last = Recorder(), Recorder(fails={hook: error}), Recorder()
    logger = ListLogger()
    trainer_ = trainer(callbacks=[first, failing, last], logger=logger)
    with pytest.raises(ValueError, match="the first") as raised:
        trainer_.fit(Regression(), loader(), loader())
    assert raised.value is error
    assert failing.events == [*before, "on_exception ValueError", "teardown fit"]
    assert first.events == [*FIT, "on_exception ValueError", "teardown fit"]
    assert last.events[-2:] == ["on_exception ValueError", "teardown fit"]
    assert logger.ended == ["failed"]
    assert trainer_.interrupted


def test_errors_of_the_clean_up_become_notes_and_stop_nobody_else() -> None:
    fails = {
        "on_train_batch_end": ValueError("first"),
        "on_exception": KeyError("second"),
        "teardown": OSError("third"),
    }
    failing, other = Recorder(fails=fails), Recorder()
    with pytest.raises(ValueError, match="first") as raised:
        trainer(callbacks=[failing, other]).fit(Regression(), loader(), loader())
    assert raised.value.__notes__ == ["While cleaning up: KeyError: 'second'", "While cleaning up: OSError: third"]
    assert other.events[-2:] == ["on_exception ValueError", "teardown fit"]


def test_an_error_in_teardown_is_raised_and_each_teardown_runs_once() -> None:
    first, failing, last = Recorder(), Recorder(fails={"teardown": OSError("full")}), Recorder()
    with pytest.raises(OSError, match="full"):
        trainer(callbacks=[first, failing, last]).fit(Regression(), loader(), loader())
    assert [recorder.events.count("teardown fit") for recorder in (first, failing, last)] == [1, 1, 1]


def test_nothing_is_torn_down_that_was_not_set_up() -> None:
    class Unprepared(Regression):
        def prepare_data(self) -> None:
            raise OSError("no network")

    recorder = Recorder()
    with pytest.raises(OSError, match="no network"):
        trainer(callbacks=[recorder]).fit(Unprepared(), loader(), loader())
    assert recorder.events == ["on_exception OSError"]


def test_the_module_is_of_use_afterwards() -> None:
    module, recorder = Regression(), Recorder()
    trainer(callbacks=[recorder]).fit(module, loader(), loader())
    with pytest.warns(UserWarning, match="no Trainer runs this module"):
        module.log("late", 1.0)
    with pytest.raises(RuntimeError, match="outside a run"):
        recorder.log("late", 1.0)
    assert module.device == torch.device("cpu")
    assert module.training
    module(torch.zeros(1, 2)).sum().backward()


def test_run_and_data_go_with_trainer_and_module() -> None:
    data = loader()
    trainer_, module = trainer(max_epochs=1), Regression()
    trainer_.fit(module, data, data)
    trainer_.test(module, data, verbose=False)
    remaining = [weakref.ref(thing) for thing in (trainer_._run, trainer_, module, data)]
    del data, trainer_, module
    gc.collect()
    assert [reference() for reference in remaining] == [None] * 4


def test_persistent_workers_end_with_the_run() -> None:
    data = loader(num_workers=1, persistent_workers=True)
    trainer().fit(Regression(), data, data)
    assert data._iterator is None


# -- callbacks --------------------------------------------------------------------------------------------------------


class Bringing(Regression):
    def __init__(self, *callbacks: Any) -> None:
        super().__init__()
        self.own = list(callbacks)

    def configure_callbacks(self) -> Any:
        return self.own


class PatientStopping(EarlyStopping):
    pass


def stopping(patience: int, kind: type[EarlyStopping] = EarlyStopping) -> EarlyStopping:
    return kind("x", patience=patience)


@pytest.mark.parametrize(("given", "own"), [(EarlyStopping, EarlyStopping), (PatientStopping, EarlyStopping)])
def test_row_92_the_modules_callback_replaces_one_of_its_kind(given: Any, own: Any) -> None:
    for one, other in ((given, own), (own, given)):
        trainer_ = trainer(callbacks=[stopping(1, one), Recorder()])
        callback = stopping(7, other)
        trainer_.fit(Bringing(callback), loader(), loader())
        assert trainer_.early_stopping_callbacks == [callback]
        assert [type(c) for c in trainer_.callbacks] == [Recorder, other]


def test_row_91_checkpoints_come_last_also_those_of_the_module(tmp_path: Path) -> None:
    trainer_ = trainer(callbacks=[Recorder()], enable_checkpointing=True)
    trainer_.fit(Bringing(ModelCheckpoint(tmp_path / "own"), Recorder("two"), ModelSummary()), loader(), loader())
    assert [type(callback) for callback in trainer_.callbacks] == [Recorder, ModelSummary, ModelCheckpoint]
    assert trainer_.checkpoint_callback.dirpath == str(tmp_path / "own")


def test_a_single_callback_may_be_returned_and_a_class_may_not() -> None:
    module, recorder = Bringing(), Recorder()
    module.configure_callbacks = lambda: recorder  # type: ignore[method-assign]
    trainer().fit(module, loader(), loader())
    assert recorder.events == [*FIT, "on_fit_end", "teardown fit"]
    with pytest.raises(TypeError, match="Callback instances, not classes"):
        trainer().fit(Bringing(Recorder), loader(), loader())


def test_two_callbacks_with_one_state_key_are_refused() -> None:
    class Stateful(pl.Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"a": 1}

    with pytest.raises(RuntimeError, match="under the key '.*Stateful'"):
        trainer(callbacks=[Stateful(), Stateful()]).fit(Regression(), loader(), loader())
    without_state = [Recorder(), Recorder()]
    trainer(callbacks=without_state).fit(Regression(), loader(), loader())
    both = [stopping(1), EarlyStopping("y")]
    trainer(callbacks=both).fit(Regression(), loader(), loader())


# -- model, optimizers, hyper-parameters ------------------------------------------------------------------------------


def test_configure_model_is_called_in_every_stage() -> None:
    class Late(Regression):
        calls_of_it = 0

        def configure_model(self) -> None:
            self.calls_of_it += 1

    module, trainer_ = Late(), trainer()
    trainer_.fit(module, loader(), loader())
    trainer_.validate(module, loader(), verbose=False)
    trainer_.test(module, loader(), verbose=False)
    trainer_.predict(module, DataLoader(torch.zeros(2, 2)))
    assert module.calls_of_it == 4


def test_a_scheduler_without_state_is_announced() -> None:
    class Own:
        def step(self) -> None: ...

    class Scheduled(Regression):
        def configure_optimizers(self) -> Any:
            return [super().configure_optimizers()], [Own()]

        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            scheduler.step()

    trainer_ = trainer(enable_checkpointing=True)
    with pytest.warns(UserWarning, match="Own has no `state_dict`"):
        trainer_.fit(Scheduled(), loader(), loader())
    with pytest.warns(UserWarning, match="Own has no `state_dict`"):
        trainer(max_epochs=2, enable_checkpointing=True).fit(
            Scheduled(), loader(), loader(), ckpt_path=trainer_.checkpoint_callback.best_model_path
        )


class Configured(Regression):
    def __init__(self, width: Any = 3, rate: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()


class Data(pl.LightningDataModule):
    def __init__(self, width: Any = 3, folder: str = "data") -> None:
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self) -> Any:
        return loader()

    def val_dataloader(self) -> Any:
        return loader()


def test_hyper_parameters_of_both_are_logged_once_as_they_were_given() -> None:
    logger, module = ListLogger(), Configured(width=torch.ones(2))
    module.hparams.rate = 0.7
    trainer_ = trainer(logger=logger)
    trainer_.fit(module, datamodule=Data(width=torch.ones(2)))
    trainer_.validate(module, loader(), verbose=False)
    assert [sorted(hparams) for hparams in logger.hparams] == [["folder", "rate", "width"]]
    assert logger.hparams[0]["rate"] == 0.1


def test_hyper_parameters_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(RuntimeError, match="'width', with the values 3 and 4"):
        trainer(logger=ListLogger()).fit(Configured(), datamodule=Data(width=4))
    logger = ListLogger()
    trainer(logger=logger, enable_autolog_hparams=False).fit(Configured(), datamodule=Data(width=4))
    assert logger.hparams == []


# -- Ctrl-C -----------------------------------------------------------------------------------------------------------


class Interrupting(Regression):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 2:
            raise KeyboardInterrupt
        return super().training_step(batch, batch_idx)


def test_an_interrupt_ends_a_script_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "ps1", raising=False)
    recorder = Recorder()
    with pytest.raises(SystemExit) as left:
        trainer(callbacks=[recorder]).fit(Interrupting(), loader(), loader())
    assert left.value.code == 130
    assert recorder.events == [*FIT, "on_exception KeyboardInterrupt", "teardown fit"]


def test_a_script_that_starts_kernels_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "ps1", raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    assert leaves_on_interrupt()
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", ModuleType("ipykernel.kernelapp"))
    assert not leaves_on_interrupt()


def test_an_interrupt_returns_to_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    recorder = Recorder()
    trainer_ = trainer(callbacks=[recorder])
    trainer_.fit(Interrupting(), loader(), loader())
    assert trainer_.interrupted
    assert recorder.events == [*FIT, "on_exception KeyboardInterrupt", "teardown fit"]
    assert trainer_.predict(Interrupting(), DataLoader(Subset(torch.zeros(2, 2), [0]))) is not None
