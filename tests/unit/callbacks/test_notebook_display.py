"""Bars in a notebook, with a stand-in for the kernel's IPython; tests/examples/test_notebook.py uses a real one."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from helpers_fit import Validated, fit, loader, trainer
from leyden.callbacks.model_summary import ModelSummary
from leyden.callbacks.notebook_display import Cell, in_notebook
from leyden.callbacks.progress import PlainProgress, RichProgressBar, default_progress_bar
from leyden.callbacks.progress_display import RichProgressBarTheme, Stage


class Output:
    """What a notebook shows: pictures that are updated in place."""

    def __init__(self) -> None:
        self.shown: list[Any] = []
        self.updates = 0

    def display(self, picture: Any, display_id: bool = False) -> Any:
        assert display_id
        place = len(self.shown)
        self.shown.append(picture)

        def update(new: Any) -> None:
            self.updates += 1
            self.shown[place] = new

        return SimpleNamespace(update=update)


@pytest.fixture
def notebook(monkeypatch):
    """A process that looks like a kernel's."""
    output, ipython, display = Output(), ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    display.display = output.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return output


class Model(Validated):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("loss", 0.25, prog_bar=True)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(
    ("shell", "found"), [(SimpleNamespace(kernel=1), True), (SimpleNamespace(), False), (None, False)]
)
def test_a_kernel_is_told_from_a_prompt(monkeypatch, shell, found) -> None:
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert in_notebook() is found
    assert isinstance(default_progress_bar(), RichProgressBar if found else PlainProgress)


def test_looking_for_a_kernel_imports_nothing() -> None:
    code = "import sys; from leyden.callbacks import notebook_display as n; n.in_notebook(); print('IPython' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


def test_a_run_shows_one_bar_that_changes(notebook, capsys) -> None:
    fit(Model(), enable_progress_bar=True, max_epochs=2, num_sanity_val_steps=2)
    (picture,) = notebook.shown
    assert notebook.updates >= 1
    assert repr(picture).startswith("Epoch 1/1  4/4  ")
    assert repr(picture).endswith("loss: 0.250")
    html = picture._repr_html_()
    assert html.count("<progress") == 1
    assert 'value="4" max="4"' in html
    assert capsys.readouterr().out == ""


def test_each_call_has_its_own_output(notebook) -> None:
    made, model = trainer(enable_progress_bar=True), Model()
    model.test_step = model.validation_step
    for _ in range(2):
        made.test(model, loader(), verbose=False)
    assert [repr(picture).partition("  ")[0] for picture in notebook.shown] == ["Testing", "Testing"]


def test_each_epoch_s_bar_can_be_left(notebook) -> None:
    fit(Model(), callbacks=[RichProgressBar(leave=True)], enable_progress_bar=True, max_epochs=3)
    (picture,) = notebook.shown
    assert [line.partition("  ")[0] for line in repr(picture).splitlines()] == ["Epoch 0/2", "Epoch 1/2", "Epoch 2/2"]


def test_validation_is_shown_below_training(notebook) -> None:
    cell = Cell(RichProgressBarTheme(progress_bar="red"))
    train, inside = Stage("Epoch 0", 10, position=5), Stage("Validation", float("inf"), nested=True, position=1)
    cell.draw(train, {})
    cell.draw(inside, {"a<b": 1})
    (picture,) = notebook.shown
    assert [line.partition("  ")[0] for line in repr(picture).splitlines()] == ["Epoch 0", "Validation"]
    html = picture._repr_html_()
    assert "accent-color: red" in html
    assert "a&lt;b" in html
    assert html.count("max=") == 1  # nobody knows how many validation batches there are
    cell.draw(train, {})
    assert len(repr(notebook.shown[0]).splitlines()) == 1
    cell.draw(inside, {})
    cell.close()
    assert len(repr(notebook.shown[0]).splitlines()) == 1


def test_a_failed_run_shows_how_far_it_came(notebook) -> None:
    class Failing(Model):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 2:
                raise RuntimeError("broken")
            return super().training_step(batch, batch_idx)

    with pytest.raises(RuntimeError, match="broken"):
        fit(Failing(), enable_progress_bar=True)
    assert repr(notebook.shown[0]).startswith("Epoch 0/0  2/4")


def test_the_summary_is_a_table(notebook, monkeypatch) -> None:
    tables: list[Any] = []
    monkeypatch.setattr("leyden.callbacks.model_summary.print_table", lambda *given, **_: tables.append(given))
    fit(Model(), callbacks=[ModelSummary()], enable_model_summary=True)
    assert len(tables) == 1
