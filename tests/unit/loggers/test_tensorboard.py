from __future__ import annotations

import copy
import pickle
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import leyden as pl
from helpers_loggers import Logging, fit_logging, four_batches, read_scalars
from leyden.loggers import CSVLogger, TensorBoardLogger
from leyden.loggers.dummy import DummyExperiment
from leyden.utils.rank import rank_zero_only


def events_of(folder: str) -> EventAccumulator:
    return EventAccumulator(folder).Reload()


def test_layout_and_rows_of_a_run(tmp_path: Path) -> None:
    trainer, _ = fit_logging(tmp_path, True)
    folder = tmp_path / "lightning_logs" / "version_0"
    assert isinstance(trainer.logger, TensorBoardLogger)
    assert trainer.log_dir == trainer.logger.log_dir == str(folder)
    assert sorted(path.name.partition(".tfevents")[0] for path in folder.iterdir()) == ["events.out", "hparams.yaml"]
    lines = read_scalars(folder)
    assert [step for step, _ in lines["loss"]] == [1, 3, 5, 7]
    assert [step for step, _ in lines["mean"]] == [3, 7]
    assert [value for _, value in lines["epoch"]] == [0, 0, 0, 1, 1, 1]
    assert lines["hp_metric"] == [(0, -1.0)]
    assert yaml.safe_load((folder / "hparams.yaml").read_text()) == {"lr": 0.125, "sizes": [4, 2]}


def test_a_second_run_gets_the_next_version(tmp_path: Path) -> None:
    assert [fit_logging(tmp_path, True)[0].logger.version for _ in range(2)] == [0, 1]


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPERIMENTS", str(tmp_path))
    logger = TensorBoardLogger("$EXPERIMENTS", name="digits", version="first", sub_dir="a")
    assert (logger.save_dir, logger.name, logger.version, logger.sub_dir) == (str(tmp_path), "digits", "first", "a")
    assert logger.root_dir == str(tmp_path / "digits")
    assert logger.log_dir == str(tmp_path / "digits" / "first" / "a")
    assert TensorBoardLogger(tmp_path, name=None).log_dir == str(tmp_path / "version_0")
    assert not list(tmp_path.iterdir())  # nothing before it is used


def test_metrics_in_all_forms(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, prefix="a")
    logger.log_metrics({"number": 1, "tensor": torch.tensor(2.0), "group": {"x": 3.0, "y": 4.0}}, step=5)
    logger.finalize("success")
    assert read_scalars(logger.log_dir) == {"a-number": [(5, 1.0)], "a-tensor": [(5, 2.0)]}
    assert read_scalars(Path(logger.log_dir, "a-group_x")) == {"a-group": [(5, 3.0)]}
    for wrong in ("text", torch.ones(2)):
        with pytest.raises(ValueError, match="`a-loss` got .* Accepted: a number, a tensor of one, or a dict of them"):
            logger.log_metrics({"loss": wrong})


def test_what_comes_after_the_end_goes_to_another_file(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    logger.finalize("success")
    logger.log_metrics({"a": 2.0}, 1)
    logger.finalize("success")
    lines = read_scalars(logger.log_dir)  # files of one second are read by name, the tenth before the ninth
    assert {name: sorted(points) for name, points in lines.items()} == {"a": [(0, 1.0), (1, 2.0)]}


def test_hyperparameters_beside_metrics_to_compare_by(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_hyperparams({"lr": 0.5, "net": {"act": nn.ReLU, "sizes": [2, 3]}, "none": None}, {"acc": 0.25}, step=3)
    logger.log_hyperparams(Namespace(seed=1), 0.75)
    logger.finalize("success")
    assert read_scalars(logger.log_dir) == {"acc": [(3, 0.25)], "hp_metric": [(0, 0.75)]}
    data = events_of(logger.log_dir).SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert b"net/act" in data.content
    saved = yaml.safe_load(Path(logger.log_dir, "hparams.yaml").read_text())
    assert saved["net"] == {"act": "torch.nn.modules.activation.ReLU", "sizes": [2, 3]}
    assert saved["seed"] == 1


def test_without_a_default_metric_hyperparameters_are_in_the_file_alone(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, default_hp_metric=False)
    logger.log_hyperparams({"lr": 0.5})
    logger.finalize("success")
    assert events_of(logger.log_dir).Tags()["scalars"] == []
    assert Path(logger.log_dir, "hparams.yaml").read_text() == "lr: 0.5\n"


def test_row_81_hp_metric_placeholder_and_graph(tmp_path: Path) -> None:
    trainer, _ = fit_logging(tmp_path, TensorBoardLogger(tmp_path, log_graph=True))
    assert read_scalars(trainer.log_dir)["hp_metric"] == [(0, -1.0)]
    nodes = {node.name for node in events_of(trainer.log_dir).Graph().node}
    assert any("Linear" in name for name in nodes)


class Noisy(Logging):
    """Its forward draws random numbers and changes a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.more(x))  # type: ignore[no-any-return]


def test_the_graph_leaves_the_run_as_it_is(tmp_path: Path) -> None:
    weights = []
    for drawn in (True, False):
        torch.manual_seed(3)
        module = Noisy()
        trainer = pl.Trainer(
            max_epochs=1, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
            logger=TensorBoardLogger(tmp_path, log_graph=drawn), enable_checkpointing=False,
        )  # fmt: skip
        with pytest.warns(UserWarning, match="log_every_n_steps"):
            trainer.fit(module, four_batches())
        assert module.training
        weights.append(module.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_a_graph_that_cannot_be_drawn_is_a_warning(tmp_path: Path) -> None:
    logger, module = TensorBoardLogger(tmp_path, log_graph=True), Logging()
    with pytest.warns(UserWarning, match="tracing the model failed with"):
        logger.log_graph(module, torch.zeros(1, 7))
    module.example_input_array = None
    with pytest.warns(UserWarning, match="set `example_input_array` on the module"):
        logger.log_graph(module)
    TensorBoardLogger(tmp_path).log_graph(module)  # not asked for: nothing to say


def test_the_writers_own_methods(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, max_queue=3)
    logger.experiment.add_text("note", "warm start")
    logger.experiment.add_histogram("weights", torch.arange(10.0))
    logger.experiment.add_image("picture", torch.zeros(1, 4, 4))
    logger.save()
    tags = events_of(logger.log_dir).Tags()
    assert (tags["histograms"], tags["images"]) == (["weights"], ["picture"])


def test_purge_step_is_the_counterpart_of_a_file_cut_back(tmp_path: Path) -> None:
    """Event files are append-only: what a continued run writes again is purged when they are read."""
    first = TensorBoardLogger(tmp_path, version=0)
    for step in range(6):
        first.log_metrics({"a": 1.0}, step)
    first.finalize("failed")
    again = TensorBoardLogger(tmp_path, version=0, purge_step=4)
    for step in range(4, 6):
        again.log_metrics({"a": 2.0}, step)
    again.finalize("success")
    assert [value for _, value in read_scalars(again.log_dir)["a"]] == [1, 1, 1, 1, 2, 2]


def test_other_ranks_do_nothing(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    try:
        rank_zero_only.rank = 1
        assert isinstance(logger.experiment, DummyExperiment)
        logger.log_metrics({"a": 1.0}, 0)
        logger.log_hyperparams({"a": 1})
        logger.log_graph(Logging())
        logger.finalize("success")
    finally:
        rank_zero_only.rank = None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda logger: pickle.loads(pickle.dumps(logger))])
def test_a_copy_opens_a_file_of_its_own(tmp_path: Path, copied: Any) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, 0)
    other = copied(logger)
    other.log_metrics({"a": 2.0}, 1)
    for each in (logger, other):
        each.finalize("success")
    assert other.log_dir == logger.log_dir
    assert sorted(read_scalars(logger.log_dir)["a"]) == [(0, 1.0), (1, 2.0)]


def test_beside_another_logger(tmp_path: Path) -> None:
    loggers = [TensorBoardLogger(tmp_path, name="events"), CSVLogger(tmp_path, name="rows", version=3)]
    trainer, module = fit_logging(tmp_path, loggers)
    assert trainer.loggers == loggers
    assert trainer.logger is module.logger is loggers[0]
    assert module.loggers == loggers
    assert [step for step, _ in read_scalars(loggers[0].log_dir)["loss"]] == [1, 3, 5, 7]
    assert len(Path(loggers[1].log_dir, "metrics.csv").read_text().splitlines()) == 7


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "leyden\[tensorboard\]"'):
        TensorBoardLogger(tmp_path)
