"""What the Trainer's arguments accept, where no other test says so."""

from __future__ import annotations

from typing import Any

import pytest

import leyden as pl
from helpers_fit import Regression, Validated, fit, loader, trainer
from helpers_loggers import Recording
from leyden.errors import LightningDeprecationWarning, MisconfigurationException
from leyden.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler


def test_the_old_strategy_is_translated() -> None:
    with pytest.warns(LightningDeprecationWarning, match="strategy='ddp'"):
        assert type(trainer(strategy="dp").strategy).__name__ == "DDPStrategy"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"max_time": 60}, MisconfigurationException),
        ({"gradient_clip_algorithm": 2}, MisconfigurationException),
        ({"devices": None}, TypeError),
        ({"accelerator": None}, ValueError),
    ],
)
def test_values_that_are_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"`{next(iter(arguments))}` got"):
        trainer(**arguments)


def test_none_as_a_number_of_steps_is_old() -> None:
    with pytest.warns(LightningDeprecationWarning, match="max_steps=-1"):
        assert trainer(max_steps=None).max_steps == -1


@pytest.mark.parametrize("limit", [2, 2.0])
def test_a_limit_of_2_0_is_two_batches(limit: float) -> None:
    module = Regression()
    assert fit(module, limit_train_batches=limit).num_training_batches == 2
    assert module.calls == [0, 1]


def test_no_step_is_logged() -> None:
    class Logs(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

    class Rows(Recording):
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            rows.append(sorted(metrics))

    rows: list[list[str]] = []
    fit(Logs(), logger=Rows(), log_every_n_steps=0)
    assert rows == [["epoch", "loss_epoch"]]


def test_old_forms_become_callbacks() -> None:
    with pytest.warns(LightningDeprecationWarning, match="GradientAccumulationScheduler"):
        made = trainer(accumulate_grad_batches={0: 2, 1: 4}, max_epochs=2)
    assert [type(callback).__name__ for callback in made.callbacks] == ["GradientAccumulationScheduler"]
    made.fit(Regression(), loader())
    assert made.global_step == 2 + 1


@pytest.mark.parametrize(
    ("name", "kind"), [("Simple", SimpleProfiler), ("ADVANCED", AdvancedProfiler), ("PyTorch", PyTorchProfiler)]
)
def test_names_in_any_case(name: str, kind: type) -> None:
    made = trainer(profiler=name, gradient_clip_val=1.0, gradient_clip_algorithm="Value")
    assert type(made.profiler) is kind
    assert made.gradient_clip_algorithm == "value"


def test_the_root_may_be_a_url() -> None:
    assert trainer(default_root_dir="memory://runs").default_root_dir == "memory://runs"


def test_arguments_without_effect(capsys: pytest.CaptureFixture[str]) -> None:
    module = Validated()
    made = trainer(model_registry="organisation/model", suggest_integrations=True)
    made.fit(module, loader(), loader())
    plain = Validated()
    fit(plain)
    assert module.calls == plain.calls
    assert capsys.readouterr().out == ""


def test_ranges_of_steps_and_epochs() -> None:
    assert fit(Regression(), max_epochs=0).global_step == 0
    assert fit(Regression(), max_steps=0).global_step == 0
    assert fit(Regression(), max_epochs=-1, max_steps=6).global_step == 6
    assert isinstance(pl.Trainer(max_epochs=1, logger=False, enable_progress_bar=False), pl.Trainer)
