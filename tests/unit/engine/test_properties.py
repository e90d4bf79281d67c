"""Every property and public attribute of the Trainer: its value before, during and after a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from leyden.callbacks import EarlyStopping, ModelCheckpoint
from leyden.core.profiler import PassThroughProfiler
from leyden.loggers import CSVLogger
from mistakes.kit import Model, dataset, fit, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*no validation data")
INF = float("inf")

# name: before any run | in training, second batch of the first epoch | in its validation | after fit
VALUES: dict[str, tuple[Any, Any, Any, Any]] = {
    "barebones": (False, False, False, False),
    "accumulate_grad_batches": (1, 1, 1, 1),
    "check_val_every_n_epoch": (1, 1, 1, 1),
    "checkpoint_callback": (None, None, None, None),
    "checkpoint_callbacks": ([], [], [], []),
    "ckpt_path": (None, None, None, None),
    "current_epoch": (0, 0, 0, 2),
    "device_ids": ([0], [0], [0], [0]),
    "distributed_sampler_kwargs": (None, None, None, None),
    "early_stopping_callback": (None, None, None, None),
    "early_stopping_callbacks": ([], [], [], []),
    "enable_autolog_hparams": (True, True, True, True),
    "enable_validation": (False, True, True, True),
    "evaluating": (False, False, True, False),
    "fast_dev_run": (False, False, False, False),
    "global_rank": (0, 0, 0, 0),
    "global_step": (0, 1, 4, 8),
    "gradient_clip_algorithm": (None, None, None, None),
    "gradient_clip_val": (None, None, None, None),
    "interrupted": (False, False, False, False),
    "is_global_zero": (True, True, True, True),
    "is_last_batch": (False, False, True, False),
    "limit_predict_batches": (1.0, 1.0, 1.0, 1.0),
    "limit_test_batches": (1.0, 1.0, 1.0, 1.0),
    "limit_train_batches": (1.0, 1.0, 1.0, 1.0),
    "limit_val_batches": (1.0, 1.0, 1.0, 1.0),
    "local_rank": (0, 0, 0, 0),
    "log_every_n_steps": (50, 50, 50, 50),
    "logger": (None, None, None, None),
    "loggers": ([], [], [], []),
    "lr_scheduler_configs": ([], [], [], []),
    "max_epochs": (2, 2, 2, 2),
    "max_steps": (-1, -1, -1, -1),
    "min_epochs": (0, 0, 0, 0),
    "min_steps": (None, None, None, None),
    "node_rank": (0, 0, 0, 0),
    "num_devices": (1, 1, 1, 1),
    "num_nodes": (1, 1, 1, 1),
    "num_predict_batches": ([], [], [], []),
    "num_sanity_val_batches": ([], [2], [2], [2]),
    "num_sanity_val_steps": (2, 2, 2, 2),
    "num_test_batches": ([], [], [], []),
    "num_training_batches": (INF, 4, 4, 4),
    "num_val_batches": ([], [3], [3], [3]),
    "overfit_batches": (0.0, 0.0, 0.0, 0.0),
    "precision": ("32-true", "32-true", "32-true", "32-true"),
    "predict_dataloaders": (None, None, None, None),
    "predicting": (False, False, False, False),
    "progress_bar_callback": (None, None, None, None),
    "progress_bar_metrics": ({}, {}, {}, {}),
    "received_sigterm": (False, False, False, False),
    "reload_dataloaders_every_n_epochs": (0, 0, 0, 0),
    "sanity_checking": (False, False, False, False),
    "scaler": (None, None, None, None),
    "should_stop": (False, False, False, False),
    "test_dataloaders": (None, None, None, None),
    "testing": (False, False, False, False),
    "training": (False, True, False, False),
    "val_check_interval": (1.0, 1.0, 1.0, 1.0),
    "validating": (False, False, True, False),
    "world_size": (1, 1, 1, 1),
    "datamodule": (None, None, None, None),
}
# Values that the tests below look at more closely.
OTHERS = [
    "accelerator",
    "callback_metrics",
    "callbacks",
    "default_root_dir",
    "estimated_stepping_batches",
    "fit_loop",
    "lightning_module",
    "log_dir",
    "logged_metrics",
    "model",
    "optimizers",
    "precision_plugin",
    "predict_loop",
    "profiler",
    "state",
    "strategy",
    "test_loop",
    "train_dataloader",
    "val_check_batch",
    "val_dataloaders",
    "validate_loop",
]

CONTRACT = """
    accelerator callback_metrics checkpoint_callback checkpoint_callbacks ckpt_path current_epoch
    default_root_dir device_ids distributed_sampler_kwargs early_stopping_callback early_stopping_callbacks
    enable_validation estimated_stepping_batches evaluating global_rank global_step interrupted
    is_global_zero is_last_batch lightning_module local_rank log_dir logged_metrics logger loggers
    lr_scheduler_configs max_epochs max_steps min_epochs min_steps model node_rank num_devices num_nodes
    num_predict_batches num_sanity_val_batches num_test_batches num_training_batches num_val_batches
    optimizers precision precision_plugin predict_dataloaders predicting progress_bar_callback
    progress_bar_metrics received_sigterm sanity_checking scaler strategy test_dataloaders testing
    train_dataloader training val_dataloaders validating world_size callbacks datamodule state should_stop
    fit_loop validate_loop test_loop predict_loop limit_train_batches limit_val_batches limit_test_batches
    limit_predict_batches val_check_interval val_check_batch check_val_every_n_epoch num_sanity_val_steps
    overfit_batches fast_dev_run accumulate_grad_batches gradient_clip_val gradient_clip_algorithm profiler
    log_every_n_steps reload_dataloaders_every_n_epochs enable_autolog_hparams barebones
"""


class Watched(Model):
    """Reads everything in the middle of a run."""

    def __init__(self):
        super().__init__()
        self.seen: dict[str, dict[str, Any]] = {}

    def look(self, place):
        self.seen[place] = {name: getattr(self.trainer, name) for name in VALUES}

    def training_step(self, batch, batch_idx):
        if self.current_epoch == 0 and batch_idx == 1:
            self.look("train")
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        if not self.trainer.sanity_checking and self.current_epoch == 0 and batch_idx == 0:
            self.look("val")


@pytest.fixture(scope="module")
def watched():
    made = trainer(max_epochs=2)
    before = {name: getattr(made, name) for name in VALUES}
    model = Watched()
    made.fit(model, loader(), loader(6))
    return {"before": before, **model.seen, "after": {name: getattr(made, name) for name in VALUES}}


@pytest.mark.parametrize("place", ["before", "train", "val", "after"])
def test_values(watched, place):
    expected = {name: values[["before", "train", "val", "after"].index(place)] for name, values in VALUES.items()}
    assert watched[place] == expected


def test_the_table_names_every_property_of_the_contract():
    contract = CONTRACT.split()
    assert set(contract) == set(VALUES) | set(OTHERS)
    made = trainer()
    assert [name for name in contract if name != "estimated_stepping_batches" and not hasattr(made, name)] == []


def test_parts():
    made = trainer()
    assert made.accelerator.name == "cpu"
    assert made.strategy.root_device == torch.device("cpu")
    assert made.precision_plugin.precision == "32-true"
    assert made.lightning_module is None
    assert made.model is None
    assert made.optimizers == []
    assert type(made.profiler) is PassThroughProfiler
    with made.profiler.profile("nothing") as action:
        assert action == "nothing"
    model = Model()
    made.fit(model, loader())
    assert made.lightning_module is model
    assert made.model is model
    assert [type(optimizer) for optimizer in made.optimizers] == [torch.optim.SGD]


def test_callbacks_by_kind():
    stops = [EarlyStopping("a"), EarlyStopping("b")]
    saves = [ModelCheckpoint(dirpath="a"), ModelCheckpoint(dirpath="b")]
    made = trainer(callbacks=[saves[0], *stops, saves[1]], enable_checkpointing=True, enable_progress_bar=True)
    assert made.early_stopping_callbacks == stops
    assert made.early_stopping_callback is stops[0]
    assert made.checkpoint_callbacks == saves
    assert made.checkpoint_callback is saves[0]
    assert made.progress_bar_callback in made.callbacks


def test_folders(tmp_path):
    assert trainer().default_root_dir == str(Path.cwd())
    assert trainer(default_root_dir=tmp_path / "runs").default_root_dir == str(tmp_path / "runs")
    assert trainer(default_root_dir="runs").log_dir == "runs"
    logger = CSVLogger(tmp_path, name="a", version=3)
    assert trainer(logger=logger).log_dir == str(tmp_path / "a" / "version_3")


def test_metrics_are_tensors_for_callbacks_and_numbers_for_the_bar():
    class Logs(Model):
        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.log("loss", loss, prog_bar=True)
            self.log("hidden", 2.0, logger=False)
            return loss

    made = trainer()
    made.fit(Logs(), loader())
    assert set(made.callback_metrics) == {"loss", "hidden"}
    assert all(isinstance(v, torch.Tensor) and not v.requires_grad for v in made.callback_metrics.values())
    assert set(made.logged_metrics) == {"loss"}
    assert set(made.progress_bar_metrics) == {"loss"}
    assert isinstance(made.progress_bar_metrics["loss"], float)


@pytest.mark.parametrize(
    ("arguments", "batches", "expected"),
    [
        ({"max_epochs": 3}, 4, 12),
        ({"max_epochs": 3, "accumulate_grad_batches": 3}, 4, 6),
        ({"max_epochs": 3, "max_steps": 5}, 4, 5),
        ({"max_epochs": -1, "max_steps": 5}, 4, 5),
        ({"max_epochs": -1}, 4, INF),
        ({"max_epochs": 3, "limit_train_batches": 2}, 4, 6),
        ({"max_epochs": 2, "limit_train_batches": 0.5}, 4, 4),
    ],
)
def test_estimated_stepping_batches_asks_for_the_loader_once(arguments, batches, expected):
    asked = []

    class Asks(Model):
        def configure_optimizers(self):
            asked.append(self.trainer.estimated_stepping_batches)
            self.trainer.should_stop = True
            return super().configure_optimizers()

        def train_dataloader(self):
            asked.append("loader")
            return loader(2 * batches)

    made = trainer(**arguments)
    made.fit(Asks())
    assert expected in asked
    assert asked.count("loader") == 1


def test_estimated_stepping_batches_of_unknown_data():
    found = []

    class Asks(Model):
        def configure_optimizers(self):
            found.append(self.trainer.estimated_stepping_batches)
            return super().configure_optimizers()

    fit(Asks(), iter(list(loader())))
    fit(Asks(), iter(list(loader())), max_steps=3)
    assert found == [INF, 3]


@pytest.mark.parametrize(
    "structure",
    [lambda a, b: [a, b], lambda a, b: {"a": a, "b": [b]}, lambda a, b: (a, b), lambda a, b: a],
    ids=range(4),
)
def test_loaders_keep_the_user_s_structure(structure):
    given = structure(loader(), loader(6))

    class Two(Model):
        def training_step(self, batch, batch_idx):
            return self.layer(torch.ones(1, 2)).sum()

        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            return None

        def test_step(self, batch, batch_idx, dataloader_idx=0):
            return None

    made = trainer()
    made.fit(Two(), given, given)
    assert made.train_dataloader is given
    assert made.val_dataloaders is given
    made.test(Two(), given, verbose=False)
    assert made.test_dataloaders is given
    made.predict(torch.nn.Linear(2, 1), given)
    assert made.predict_dataloaders is given


def test_the_stage_can_be_set_and_left():
    made = trainer()
    made.testing = True
    assert made.state.stage == "test"
    made.predicting = False
    assert made.testing
    made.testing = False
    assert made.state.stage is None


@pytest.mark.parametrize(
    ("method", "name"), [("validate", "validating"), ("test", "testing"), ("predict", "predicting")]
)
def test_the_stage_is_known_from_the_first_hook_on(method, name):
    seen = []

    class Looks(Model):
        def setup(self, stage):
            seen.append(
                (stage, getattr(self.trainer, name), str(self.trainer.state.fn), str(self.trainer.state.status))
            )

    made = trainer()
    verbose = {} if method == "predict" else {"verbose": False}
    data = torch.utils.data.DataLoader(torch.ones(4, 2)) if method == "predict" else loader()
    getattr(made, method)(Looks(), data, **verbose)
    assert seen == [(method, True, method, "running")]
    assert made.state.stage is None
    assert made.state.finished


def test_fit_s_limits_can_be_raised():
    made = trainer(max_epochs=1)
    model = Model()
    made.fit(model, loader())
    made.fit(model, loader())
    assert made.current_epoch == 1
    made.fit_loop.max_epochs = 3
    made.fit(model, loader())
    assert (made.current_epoch, made.max_epochs, made.global_step) == (3, 3, 12)
    assert made.fit_loop.max_batches == 4


def test_the_other_loops():
    made = trainer()
    made.test(Model(), loader(), verbose=False)
    assert made.test_loop.max_batches == [4]
    made.predict(torch.nn.Linear(2, 1), loader(6))
    assert made.predict_loop.max_batches == [3]
    assert [batch.shape for batch in made.predict_loop.predictions[0]] == [(2, 1)] * 3


def test_loggers_and_optimizers_can_be_set():
    made = trainer()
    made.logger = CSVLogger("a")
    assert made.loggers == [made.logger]
    made.logger = None
    assert made.loggers == []
    made.loggers = [CSVLogger("a"), CSVLogger("b")]
    assert made.logger is made.loggers[0]
    with pytest.raises(RuntimeError, match="belongs to a run"):
        made.optimizers = []
    made.loggers = []

    class Changes(Model):
        def on_train_epoch_start(self):
            self.trainer.optimizers = [torch.optim.Adam(self.parameters())]

    made.fit(Changes(), loader())
    assert [type(optimizer) for optimizer in made.optimizers] == [torch.optim.Adam]
    assert made.global_step == 4


def test_should_stop_and_state_after_an_exception():
    class Fails(Model):
        def training_step(self, batch, batch_idx):
            raise KeyError("broken")

    made = trainer()
    with pytest.raises(KeyError, match="broken"):
        made.fit(Fails(), loader())
    assert made.interrupted
    assert made.state.stopped
    assert made.state.stage is None


def test_sanity_batches():
    assert trainer(num_sanity_val_steps=-1).num_sanity_val_batches == []
    for steps, expected in ((-1, [4]), (3, [3]), (9, [4]), (0, [0])):
        made = trainer(num_sanity_val_steps=steps)
        made.fit(Model(), loader(), torch.utils.data.DataLoader(dataset(), batch_size=2))
        assert made.num_sanity_val_batches == expected


def state_of_fit(made):
    names = ("num_training_batches", "num_val_batches", "optimizers", "lr_scheduler_configs", "train_dataloader")
    return [getattr(made, name) for name in (*names, "val_dataloaders", "val_check_batch")]


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_what_fit_made_is_there_after_another_stage(method):
    class Scheduled(Model):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

        def predict_step(self, batch, batch_idx):
            return None

    made, model, val = trainer(), Scheduled(), loader(6)
    made.fit(model, loader(), val)
    before = state_of_fit(made)
    assert before[:2] == [4, [3]]
    assert len(before[2]) == len(before[3]) == 1
    getattr(made, method)(model, val if method == "validate" else loader(2))
    assert state_of_fit(made) == before
    assert getattr(made, f"num_{'val' if method == 'validate' else method}_batches") == [
        3 if method == "validate" else 1
    ]
    made.fit_loop.max_epochs = 2
    made.fit(model, loader(10), val)
    assert made.num_training_batches == 5, "a new fit reads the loaders that it gets"
    assert made.global_step == 4 + 5


def test_another_module_s_optimizers_are_not_those_of_fit():
    made = trainer()
    made.fit(Model(), loader())
    made.test(Model(), loader(), verbose=False)
    assert made.optimizers == []


def test_views_are_documented_and_read_only():
    made = trainer()
    assert type(made).world_size.__doc__ == "The number of processes."
    assert type(made).max_epochs.__doc__.startswith("Stop after so many epochs")
    with pytest.raises(AttributeError):
        made.world_size = 3
    made.num_val_batches.append(1)
    assert made.num_val_batches == [], "a default is a new object each time"
