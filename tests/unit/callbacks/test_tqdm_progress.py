"""Bars by tqdm, in real runs on a buffer."""

from __future__ import annotations

import copy
import io
import sys
from typing import Any

import pytest
from torch.utils.data import DataLoader

import leyden as pl
from helpers_fit import Endless, Validated, loader, trainer
from leyden.callbacks import tqdm_progress
from leyden.callbacks.tqdm_progress import TQDMProgressBar, tqdm_class


class Model(Validated):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("loss", 0.5, prog_bar=True)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", 0.25, prog_bar=True)

    test_step = validation_step

    def forward(self, batch: Any) -> Any:
        return self.layer(batch[0])


class Noting(TQDMProgressBar):
    """Notes the bars at some hooks: description, count, total, whether it is left, postfix."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.notes: list[Any] = []

    def note(self, bar: Any) -> None:
        self.notes.append((bar.desc, bar.n, bar.total, bar.leave, bar.postfix))

    def on_sanity_check_end(self, *args: Any) -> None:
        self.note(self.val_progress_bar)
        super().on_sanity_check_end(*args)

    def on_train_epoch_end(self, *args: Any) -> None:
        super().on_train_epoch_end(*args)
        self.note(self.train_progress_bar)

    def on_validation_end(self, *args: Any) -> None:
        super().on_validation_end(*args)
        self.note(self.val_progress_bar)

    def on_test_batch_end(self, *args: Any) -> None:
        super().on_test_batch_end(*args)
        self.note(self.test_progress_bar)

    def on_predict_end(self, *args: Any) -> None:
        super().on_predict_end(*args)
        self.note(self.predict_progress_bar)


def with_bar(bar: TQDMProgressBar, **arguments: Any) -> pl.Trainer:
    return trainer(callbacks=[bar], enable_progress_bar=True, **arguments)


def text_of(output: str) -> str:
    return output.replace("\r", "\n")


def test_a_bar_for_each_stage_of_fit(capsys) -> None:
    bar = Noting()
    with_bar(bar, num_sanity_val_steps=2, max_epochs=2).fit(Model(), loader(), loader())
    assert bar.notes == [
        ("Sanity Checking DataLoader 0: ", 2, 2, False, None),  # validation's end within it
        ("Sanity Checking DataLoader 0: ", 2, 2, False, None),
        ("Validation DataLoader 0: ", 4, 4, False, None),
        ("Epoch 0: ", 4, 4, True, "loss=0.500, val_loss=0.250"),
        ("Validation DataLoader 0: ", 4, 4, False, None),
        ("Epoch 1: ", 4, 4, True, "loss=0.500, val_loss=0.250"),
    ]
    output = text_of(capsys.readouterr().out)
    assert "Epoch 1: 100%|██████████| 4/4 [" in output
    assert bar.train_progress_bar.disable  # closed


def test_test_and_prediction_have_theirs(capsys) -> None:
    bar = Noting()
    made, model = with_bar(bar), Model()
    made.test(model, [loader(4), loader(2)], verbose=False)
    made.predict(model, loader())
    made.validate(model, loader(), verbose=False)
    assert bar.notes == [
        ("Testing DataLoader 0: ", 1, 2, True, None),
        ("Testing DataLoader 0: ", 2, 2, True, None),
        ("Testing DataLoader 1: ", 1, 1, True, None),
        ("Predicting DataLoader 0: ", 4, 4, True, None),
        ("Validation DataLoader 0: ", 4, 4, True, None),  # outside fit it is left
    ]


def test_data_of_unknown_length(capsys) -> None:
    bar = Noting()
    with_bar(bar, limit_val_batches=0).fit(Model(), DataLoader(Endless(), batch_size=2), loader())
    assert bar.notes[-1][:3] == ("Epoch 0: ", 4, None)
    assert "Epoch 0: | " in capsys.readouterr().out


def test_each_epoch_s_bar_is_left(capsys) -> None:
    with_bar(TQDMProgressBar(leave=True), max_epochs=3).fit(Model(), loader(), loader())
    lines = text_of(capsys.readouterr().out).split("\n")
    for epoch in range(3):
        assert any(line.startswith(f"Epoch {epoch}: 100%") for line in lines)


@pytest.mark.parametrize("off", [TQDMProgressBar(refresh_rate=0), "disabled"])
def test_silent_bars(capsys, off) -> None:
    bar = TQDMProgressBar() if off == "disabled" else off
    if off == "disabled":
        bar.disable()
    assert bar.is_disabled
    with_bar(bar, num_sanity_val_steps=1).fit(Model(), loader(), loader())
    assert capsys.readouterr().out == ""
    bar.enable()
    assert bar.is_enabled is (off == "disabled")


def test_print_goes_above_the_bar(capsys) -> None:
    class Speaking(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 1:
                pl_module.print("spoken", 3, sep="-")

    bar = TQDMProgressBar()
    bar.print("before", "any", sep="+")
    trainer(callbacks=[bar, Speaking()], enable_progress_bar=True).fit(Model(), loader(), loader())
    lines = text_of(capsys.readouterr().out).split("\n")
    assert lines[0] == "before+any"
    assert "spoken-3" in lines


def test_a_subclass_makes_its_own_bars_and_metrics(capsys) -> None:
    class Mine(TQDMProgressBar):
        def init_train_tqdm(self) -> Any:
            bar = super().init_train_tqdm()
            bar.set_description("mine")
            return bar

        def init_validation_tqdm(self) -> Any:
            return tqdm_progress.Tqdm(desc="own", file=sys.stdout, leave=True, disable=self.is_disabled)

        def get_metrics(self, trainer: Any, pl_module: Any) -> Any:
            return {"step": trainer.global_step}

    with_bar(Mine()).fit(Model(), loader(), loader())
    output = capsys.readouterr().out
    assert "mine: " in output
    assert "own: " in output
    assert "step=4" in output
    assert "loss=" not in output


def test_bars_are_closed_when_a_run_fails(capsys) -> None:
    class Failing(Model):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 2:
                raise RuntimeError("broken")
            return super().training_step(batch, batch_idx)

    bar = TQDMProgressBar()
    with pytest.raises(RuntimeError, match="broken"):
        with_bar(bar).fit(Failing(), loader(), loader())
    assert bar.train_progress_bar.disable
    assert bar.train_progress_bar.n == 2


def test_a_bar_before_its_stage_is_an_error_that_says_so() -> None:
    for name in ("train", "val", "test", "predict"):
        with pytest.raises(TypeError, match=f"{name}_progress_bar"):
            getattr(TQDMProgressBar(), f"{name}_progress_bar")


def test_a_used_bar_can_be_copied(capsys) -> None:
    bar = TQDMProgressBar(refresh_rate=3, process_position=2)
    with_bar(bar).fit(Model(), loader(), loader())
    bar._trainer = None  # what a copy would bring with it
    twin = copy.deepcopy(bar)
    assert (twin.refresh_rate, twin.process_position) == (3, 2)


@pytest.mark.parametrize(
    ("variables", "given", "rate"),
    [
        ({}, 1, 1),
        ({"COLAB_GPU": "1"}, 1, 20),
        ({"COLAB_JUPYTER_IP": "1"}, 2, 2),
        ({"TQDM_MINITERS": "7"}, 1, 7),
        ({"TQDM_MINITERS": "7"}, 20, 20),
        ({"TQDM_MINITERS": "7"}, 0, 0),
    ],
)
def test_the_surroundings_slow_it_down(monkeypatch, variables, given, rate) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert TQDMProgressBar(refresh_rate=given).refresh_rate == rate


def test_metrics_are_read_only_when_a_bar_is_drawn(monkeypatch) -> None:
    class Counting(TQDMProgressBar):
        reads = 0

        def get_metrics(self, trainer: Any, pl_module: Any) -> Any:
            self.reads += 1
            return {}

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(tqdm_progress, "PAUSE", 1e9)
    often, rarely = Counting(), Counting(refresh_rate=10)
    for bar in (often, rarely):
        with_bar(bar, limit_val_batches=0).fit(Model(), loader(40), loader())
    assert often.reads == 3  # the first batch, the last, the epoch's end
    assert rarely.reads == 3  # the 10th, the 20th, the epoch's end


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.100"),
        (1.0, "1.000"),
        (12.5, "12.50"),
        (99.999, "100.0"),
        (1234.5, "1234.5"),
        (0.000123, "0.000123"),
        (1e-10, "1e-10"),
        (-0.5, "-0.50"),
        (3, "3"),
        ("text", "text"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_keep_their_width(number, text) -> None:
    assert tqdm_class().format_num(number) == text


@pytest.mark.parametrize("value", [-1, 1.5, "1", True])
@pytest.mark.parametrize("name", ["refresh_rate", "process_position"])
def test_wrong_arguments_are_named(name, value) -> None:
    with pytest.raises(ValueError, match=name):
        TQDMProgressBar(**{name: value})


def test_without_tqdm_the_error_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    tqdm_class.cache_clear()
    with pytest.raises(ImportError, match=r"leyden\[tqdm\]"):
        with_bar(TQDMProgressBar()).fit(Model(), loader(), loader())


def test_the_module_has_no_other_lazy_name() -> None:
    assert issubclass(tqdm_progress.Tqdm, __import__("tqdm").tqdm)
    with pytest.raises(AttributeError, match="Tqdms"):
        _ = tqdm_progress.Tqdms
