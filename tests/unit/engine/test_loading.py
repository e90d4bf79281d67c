"""Where the loops' batches come from, and how many there are."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import leyden as pl
from leyden.engine.loading import Sources, check_leaves, load_training, own_share, takes_loader
from leyden.errors import MisconfigurationException
from leyden.loggers import CSVLogger
from leyden.runtime.strategies.single import SingleDeviceStrategy
from mistakes.kit import Model, dataset, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*no validation data")


class Records(Model):
    """Keeps what its steps get."""

    def __init__(self):
        super().__init__()
        self.batches = []
        self.evaluated = []

    def training_step(self, batch, batch_idx):
        self.batches.append(batch)
        return self.layer(torch.ones(1, 2)).sum()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.evaluated.append((batch_idx, dataloader_idx))

    test_step = validation_step

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        self.evaluated.append((batch_idx, dataloader_idx))


def numbers(start, count):
    return DataLoader(torch.arange(start, start + count))


def record(train=None, val=None, model=None, datamodule=None, **arguments):
    model = model or Records()
    trainer(num_sanity_val_steps=0, **arguments).fit(model, train, val, datamodule=datamodule)
    return model


def test_a_list_is_cycled_to_the_longest():
    batches = record([numbers(0, 3), numbers(10, 2)]).batches
    assert [[part.item() for part in batch] for batch in batches] == [[0, 10], [1, 11], [2, 10]]
    assert all(isinstance(batch, list) for batch in batches)


def test_a_dict_and_what_is_nested_in_it_keep_their_structure():
    batches = record({"a": numbers(0, 2), "b": [numbers(10, 1), (numbers(20, 2),)]}).batches
    last = batches[-1]
    assert isinstance(last["b"][1], tuple)
    assert [last["a"].item(), last["b"][0].item(), last["b"][1][0].item()] == [1, 10, 21]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("min_size", [[0, 10], [1, 11]]),
        ("max_size_cycle", [[0, 10], [1, 11], [2, 10]]),
        ("max_size", [[0, 10], [1, 11], [2, None]]),
    ],
)
def test_modes_of_a_combined_loader(mode, expected):
    batches = record(pl.CombinedLoader([numbers(0, 3), numbers(10, 2)], mode)).batches
    assert [[None if part is None else part.item() for part in batch] for batch in batches] == expected


def test_the_default_mode_of_a_combined_loader_is_the_shortest():
    assert len(record(pl.CombinedLoader([numbers(0, 3), numbers(10, 2)])).batches) == 2


def test_a_list_of_tensors_is_a_list_of_loaders():
    batches = record([torch.arange(3), torch.arange(10, 12)]).batches
    assert [[part.item() for part in batch] for batch in batches] == [[0, 10], [1, 11], [2, 10]]


def test_any_iterable_is_a_loader():
    assert [batch.item() for batch in record(torch.arange(2) for _ in range(1)).batches[0]] == [0, 1]
    assert record(iter([torch.tensor(3)])).batches == [torch.tensor(3)]


@pytest.mark.parametrize(
    "given", [lambda: [numbers(0, 2), numbers(0, 3)], lambda: {"a": numbers(0, 2), "b": numbers(0, 3)}]
)
def test_several_evaluation_loaders_come_one_after_the_other(given):
    expected = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)]
    assert record(loader(), given()).evaluated == expected
    for method in ("validate", "test", "predict"):
        model = Records()
        getattr(trainer(), method)(model, given())
        assert model.evaluated == expected


def test_limits_hold_for_each_evaluation_loader():
    assert record(loader(), [numbers(0, 2), numbers(0, 3)], limit_val_batches=1).evaluated == [(0, 0), (0, 1)]


def test_an_evaluation_loader_of_several_side_by_side():
    combined = pl.CombinedLoader([numbers(0, 3), numbers(10, 2)], "min_size")
    assert record(loader(), combined).evaluated == [(0, 0), (1, 0)]


class Data(pl.LightningDataModule):
    def train_dataloader(self):
        return numbers(100, 2)

    def val_dataloader(self):
        return numbers(200, 1)

    test_dataloader = predict_dataloader = val_dataloader


class WithLoaders(Records):
    def train_dataloader(self):
        return numbers(300, 3)

    def val_dataloader(self):
        return numbers(400, 2)


def test_the_module_s_own_loaders():
    model = record(model=WithLoaders())
    assert [batch.item() for batch in model.batches] == [300, 301, 302]
    assert len(model.evaluated) == 2


def test_the_data_module_wins_over_the_module():
    model = record(model=WithLoaders(), datamodule=Data())
    assert [batch.item() for batch in model.batches] == [100, 101]
    assert len(model.evaluated) == 1


def test_what_is_passed_wins_over_the_module():
    model = record(numbers(0, 1), model=WithLoaders())
    assert [batch.item() for batch in model.batches] == [0]
    assert len(model.evaluated) == 2, "the validation loader is still the module's"


def test_a_data_module_in_place_of_loaders():
    assert [batch.item() for batch in record(Data()).batches] == [100, 101]
    for method in ("validate", "test", "predict"):
        model = Records()
        getattr(trainer(), method)(model, Data())
        assert model.evaluated == [(0, 0)]


def test_the_data_module_s_transfer_hooks_win_over_the_module_s():
    order = []

    class Transfers(Data):
        def on_before_batch_transfer(self, batch, dataloader_idx):
            order.append("data")
            return batch

    class Both(Records):
        def on_before_batch_transfer(self, batch, dataloader_idx):
            order.append("module")
            return batch

        def on_after_batch_transfer(self, batch, dataloader_idx):
            order.append("after")
            return batch + 1

    with pytest.warns(UserWarning, match="both define `on_before_batch_transfer`. The data module's is used"):
        model = record(model=Both(), datamodule=Transfers(), limit_val_batches=0)
    assert order == ["data", "after"] * 2
    assert [batch.item() for batch in model.batches] == [101, 102]


@pytest.mark.parametrize(
    ("limit", "count"),
    [(None, 10), (1.0, 10), (1, 1), (True, 1), (0.5, 5), (0.19, 1), (3, 3), (30, 10), (0, 0), (0.0, 0)],
)
def test_limits(limit, count):
    assert len(record(numbers(0, 10), limit_train_batches=limit).batches) == count


def test_a_part_that_is_less_than_a_batch():
    with pytest.raises(
        MisconfigurationException, match="limit_train_batches=1 for one batch, or a fraction of at least 1/10"
    ):
        record(numbers(0, 10), limit_train_batches=0.05)


def test_overfitting_takes_the_same_batches_of_each_loader_in_order():
    shuffled = DataLoader(torch.arange(8), shuffle=True)
    with pytest.warns(UserWarning, match="shuffle=False"):
        model = record(shuffled, numbers(0, 8), overfit_batches=3, max_epochs=2)
    assert [batch.item() for batch in model.batches] == [0, 1, 2] * 2
    assert [index for index, _ in model.evaluated] == [0, 1, 2] * 2


class Unsized(IterableDataset):
    def __iter__(self):
        return iter(torch.arange(6))


@pytest.mark.parametrize(
    ("arguments", "validations"),
    [
        ({}, 1),
        ({"val_check_interval": 1.0}, 1),
        ({"val_check_interval": 2}, 3),
        ({"val_check_interval": timedelta(0)}, 6),
    ],
)
def test_data_without_a_length(arguments, validations):
    model = record(DataLoader(Unsized()), numbers(0, 1), **arguments)
    assert len(model.batches) == 6
    assert len(model.evaluated) == validations


def test_data_without_a_length_can_be_limited_by_number_only():
    assert len(record(DataLoader(Unsized()), limit_train_batches=4).batches) == 4
    with pytest.raises(MisconfigurationException, match="no length"):
        record(DataLoader(Unsized()), limit_train_batches=0.5)
    with pytest.raises(MisconfigurationException, match="val_check_interval=0.5"):
        record(DataLoader(Unsized()), numbers(0, 1), val_check_interval=0.5)


@pytest.mark.parametrize(
    ("interval", "after"),
    [(1.0, [10]), (0.5, [5, 10]), (0.33, [3, 6, 9]), (0.01, list(range(1, 11))), (4, [4, 8]), (10, [10])],
)
def test_the_batches_after_which_validation_runs(interval, after):
    class Notes(Records):
        def on_validation_start(self):
            self.evaluated.append(len(self.batches))

        def validation_step(self, batch, batch_idx):
            return None

    assert record(numbers(0, 10), numbers(0, 1), model=Notes(), val_check_interval=interval).evaluated == after


def test_counting_batches_across_epochs():
    class Notes(Records):
        def on_validation_start(self):
            self.evaluated.append(len(self.batches))

        def validation_step(self, batch, batch_idx):
            return None

    made = record(
        numbers(0, 4), numbers(0, 1), model=Notes(), val_check_interval=6, check_val_every_n_epoch=None, max_epochs=3
    )
    assert made.evaluated == [6, 12]


def test_more_batches_than_the_epoch_has_are_fine_without_validation():
    record(numbers(0, 4), numbers(0, 1), val_check_interval=6, limit_val_batches=0)


class TwoProcesses(SingleDeviceStrategy):
    """The second of two processes, as far as the loaders are concerned."""

    is_distributed, global_rank, world_size = True, 1, 2


def test_no_batch_on_one_of_several_processes():
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return DataLoader(torch.arange(0))

    run = SimpleNamespace(module=Model(), datamodule=Data(), strategy=TwoProcesses(torch.device("cpu")), fn="fit")
    run.arguments, run.loggers = trainer(overfit_batches=0.0, use_distributed_sampler=False)._arguments, []
    run.sources, run.hooks, run.validates = Sources({}), SimpleNamespace(inside=lambda *_: nullcontext()), False
    with pytest.raises(RuntimeError, match=r"0 batches on rank 1 of 2.*`batch_size`"):
        load_training(run)
    run.datamodule.allow_zero_length_dataloader_with_multiple_devices = True
    with pytest.warns(UserWarning, match="0 batches"):
        assert load_training(run).batches == 0


def test_loaders_are_left_alone_if_asked():
    run, given = SimpleNamespace(strategy=TwoProcesses(torch.device("cpu"))), loader()
    run.arguments = trainer(use_distributed_sampler=False)._arguments
    assert own_share(run, given, "train") is given
    run.arguments = trainer()._arguments
    assert len(own_share(run, given, "train")) == 2


def test_loaders_are_asked_for_again_every_n_epochs():
    asked = []

    class Reloads(Records):
        def train_dataloader(self):
            asked.append(self.current_epoch)
            return numbers(0, 1)

    record(model=Reloads(), reload_dataloaders_every_n_epochs=2, max_epochs=5)
    assert asked == [0, 2, 4]


def test_set_epoch_is_called_on_samplers():
    epochs = []

    class Sampler(torch.utils.data.SequentialSampler):
        def set_epoch(self, epoch):
            epochs.append(epoch)

    data = dataset(2)
    record(DataLoader(data, sampler=Sampler(data)), max_epochs=3)
    assert epochs == [0, 1, 2]


@pytest.mark.parametrize(
    "good", [[loader()], {"a": [range(2)]}, pl.CombinedLoader([[1]]), loader(), iter([1])], ids=range(5)
)
def test_what_passes_for_loaders(good):
    check_leaves(good, "train_dataloaders")


@pytest.mark.parametrize("bad", [5, [5], {"a": [5]}, TensorDataset(torch.ones(1)), ["text"]], ids=range(5))
def test_what_does_not(bad):
    with pytest.raises(TypeError, match="`train_dataloaders`"):
        check_leaves(bad, "train_dataloaders")


def test_steps_that_know_their_loader():
    assert takes_loader(lambda batch, batch_idx, dataloader_idx: None)
    assert takes_loader(lambda *batch: None)
    assert not takes_loader(lambda batch, *, dataloader_idx=0: None)
    assert not takes_loader(lambda batch, batch_idx: None)
    assert not takes_loader(lambda batch, batch_idx, third=None: None)


def test_training_on_nothing_on_purpose_is_no_reason_to_warn(recwarn, tmp_path):
    arguments = {"logger": CSVLogger(tmp_path), "limit_train_batches": 0}
    assert record(numbers(0, 4), **arguments).batches == []
    assert not [w for w in recwarn if "log_every_n_steps" in str(w.message)]


def test_overfitting_holds_for_each_of_several_loaders():
    shuffled = DataLoader(torch.arange(8), shuffle=True)
    with pytest.warns(UserWarning, match="shuffle=False"):
        batches = record({"a": shuffled, "b": numbers(10, 8)}, overfit_batches=2, max_epochs=2).batches
    assert [(batch["a"].item(), batch["b"].item()) for batch in batches] == [(0, 10), (1, 11)] * 2
