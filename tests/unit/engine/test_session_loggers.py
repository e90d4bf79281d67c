"""What a run does with its loggers: opens them, gives them hyper-parameters, ends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import leyden as pl
from helpers_loggers import Logging, Recording, fit_logging, four_batches
from leyden.callbacks.progress import get_standard_metrics
from leyden.core.callback import Callback
from leyden.loggers import CSVLogger


class Journal(Recording):
    """Writes down what it is told, in a list that several share."""

    def __init__(self, journal: list[Any], label: str = "a", version: Any = 0) -> None:
        super().__init__()
        self.journal, self.label, self._version = journal, label, version

    @property
    def version(self) -> Any:
        return self._version

    @property
    def experiment(self) -> Any:
        self.journal.append(f"open {self.label}")
        return "the experiment"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.journal.append((step, sorted(metrics)))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.journal.append(dict(params))

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        self.journal.append("graph")

    def finalize(self, status: str) -> None:
        self.journal.append(f"{status} {self.label}")


class First(Journal):
    opens_first = True


class Watching(Callback):
    def __init__(self, journal: list[Any]) -> None:
        self.journal = journal

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.journal.append(f"setup {stage}")


class Data(pl.LightningDataModule):
    def __init__(self, **hparams: Any) -> None:
        super().__init__()
        self.save_hyperparameters(hparams)

    def train_dataloader(self) -> Any:
        return four_batches()


def fit(journal: list[Any], module: Any, data: Any, tmp_path: Path, **arguments: Any) -> None:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, log_every_n_steps=4, logger=Journal(journal), **quiet, **arguments
    )
    trainer.fit(module, datamodule=data)


def test_row_78_experiments_are_open_before_any_hook(tmp_path: Path) -> None:
    journal: list[Any] = []
    loggers = [Journal(journal, "a"), First(journal, "b"), Journal(journal, "c")]
    trainer, module = fit_logging(tmp_path, loggers, callbacks=[Watching(journal)])
    assert journal[:4] == ["open b", "open a", "open c", "setup fit"]
    journal.clear()
    trainer.test(module, four_batches(), verbose=False)
    assert journal[:4] == ["open b", "open a", "open c", "setup test"]


def test_rows_go_to_all_loggers_at_the_same_steps(tmp_path: Path) -> None:
    journals: list[list[Any]] = [[], []]
    trainer, module = fit_logging(tmp_path, [Journal(journal) for journal in journals])
    rows = [entry for entry in journals[0] if isinstance(entry, tuple)]
    assert [step for step, names in rows if "loss" in names] == [1, 3, 5, 7]
    assert [(step, names) for step, names in rows if "mean" in names] == [
        (3, ["epoch", "mean"]),
        (7, ["epoch", "mean"]),
    ]
    assert journals[0] == journals[1]
    journals[0].clear()
    trainer.test(module, four_batches(), verbose=False)
    assert (8, ["epoch", "test/loss"]) in journals[0]


def test_row_77_hyperparameters_are_logged_once_and_merged(tmp_path: Path) -> None:
    journal: list[Any] = []
    fit(journal, Logging(), Data(size=3, lr=0.125), tmp_path)
    assert [entry for entry in journal if isinstance(entry, dict)] == [{"lr": 0.125, "sizes": (4, 2), "size": 3}]
    assert journal.index("graph") == 2  # opened, hyper-parameters, graph


def test_row_77_conflicting_hyperparameters(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"hyper-parameter 'lr', with the values 0\.125 and 0\.5\. Fix: rename one"):
        fit([], Logging(), Data(lr=0.5), tmp_path)


def test_hyperparameters_can_be_kept_from_loggers(tmp_path: Path) -> None:
    class Silent(Logging):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters(logger=False)

    for module, arguments in ((Silent(), {}), (Logging(), {"enable_autolog_hparams": False})):
        journal: list[Any] = []
        fit(journal, module, Data(), tmp_path, **arguments)
        assert not [entry for entry in journal if isinstance(entry, dict)]


def test_row_101_loggers_see_the_initial_hyperparameters(tmp_path: Path) -> None:
    journal: list[Any] = []
    module = Logging()
    module.hparams.lr = 0.5
    fit(journal, module, Data(), tmp_path)
    assert {"lr": 0.125, "sizes": (4, 2)} in journal
    assert module.hparams.lr == 0.5


@pytest.mark.parametrize(("error", "seen"), [(ValueError, ValueError), (KeyboardInterrupt, SystemExit)])
def test_a_run_that_fails_ends_its_loggers_as_failed(tmp_path: Path, error: Any, seen: Any) -> None:
    class Failing(Logging):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise error("no")

    journal: list[Any] = []
    with pytest.raises(seen):
        fit(journal, Failing(), Data(), tmp_path)
    assert journal[-1] == "failed a"
    fit(journal, Logging(), Data(), tmp_path)
    assert journal[-1] == "success a"


def test_row_76_the_bar_joins_the_versions(tmp_path: Path) -> None:
    def shown(*versions: Any) -> Any:
        trainer = pl.Trainer(
            max_epochs=1, accelerator="cpu", logger=[Journal([], "x", version) for version in versions]
        )
        return get_standard_metrics(trainer).get("v_num")

    assert shown(3) == 3
    assert shown(3, "long-name") == "3_name"
    assert shown(None) is None


def test_the_first_logger_says_where_the_run_lies(tmp_path: Path) -> None:
    loggers = [CSVLogger(tmp_path, name="one"), CSVLogger(tmp_path, name="two")]
    trainer, _ = fit_logging(tmp_path, loggers, enable_checkpointing=True)
    assert trainer.log_dir == loggers[0].log_dir
    assert Path(trainer.checkpoint_callback.best_model_path).parent == Path(loggers[0].log_dir, "checkpoints")
    assert pl.Trainer(max_epochs=1, logger=False, default_root_dir=tmp_path, accelerator="cpu").log_dir == str(tmp_path)
