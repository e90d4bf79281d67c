from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, TensorDataset

from leyden.core.datamodule import LightningDataModule
from leyden.core.hparams import clean_hparams
from leyden.errors import MisconfigurationException
from leyden.utils.overrides import is_overridden


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(3))


class Numbers(LightningDataModule):
    def __init__(self, size: int = 6, root: Path = Path("data"), batch_size: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.position = 0

    def setup(self, stage: str) -> None:
        self.data = TensorDataset(torch.arange(self.hparams.size))

    def train_dataloader(self) -> DataLoader[Any]:
        torch.rand(1)
        return DataLoader(self.data, batch_size=self.hparams.batch_size)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.position = state_dict["position"]


def numbers(size: int) -> Dataset[Any]:
    return TensorDataset(torch.arange(size))


def test_works_without_a_trainer() -> None:
    data = Numbers(size=3)
    data.prepare_data()
    data.setup("fit")
    assert [batch[0].tolist() for batch in data.train_dataloader()] == [[0, 1], [2]]
    data.teardown("fit")
    data.on_exception(ValueError())
    assert data.trainer is None
    assert data.name is None
    assert data.prepare_data_per_node
    assert not data.allow_zero_length_dataloader_with_multiple_devices


def test_class_that_forgets_super_init_has_its_attributes() -> None:
    class Forgetful(LightningDataModule):
        def __init__(self) -> None:
            pass

    assert Forgetful().trainer is None
    assert Forgetful().hparams == {}


@pytest.mark.parametrize("split", ["train", "val", "test", "predict"])
def test_missing_loader_says_what_to_define(split: str) -> None:
    with pytest.raises(MisconfigurationException, match=rf"def {split}_dataloader\(self\): return DataLoader"):
        getattr(LightningDataModule(), f"{split}_dataloader")()


def test_transfer_hooks() -> None:
    data = LightningDataModule()
    batch = {"x": torch.ones(1)}
    assert data.on_before_batch_transfer(batch, 0) is batch
    assert data.on_after_batch_transfer(batch, 0) is batch
    assert data.transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    assert data.transfer_batch_to_device(batch, torch.device("meta"), 0)["x"].device.type == "meta"


def test_from_datasets() -> None:
    data = LightningDataModule.from_datasets(numbers(7), [numbers(2), numbers(3)], Stream(), batch_size=2)
    train, val, test = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    assert isinstance(train.sampler, RandomSampler)
    assert train.batch_size == 2
    assert [len(loader.dataset) for loader in val] == [2, 3]
    assert all(isinstance(loader.sampler, SequentialSampler) for loader in val)
    assert [batch.tolist() for batch in test] == [[0, 1], [2]]
    assert not is_overridden("predict_dataloader", data)
    with pytest.raises(MisconfigurationException, match="predict_dataloader"):
        data.predict_dataloader()


def test_from_datasets_with_a_stream_for_training() -> None:
    data = LightningDataModule.from_datasets(Stream())
    assert [batch.item() for batch in data.train_dataloader()] == [0, 1, 2]


def test_from_datasets_passes_init_its_arguments() -> None:
    data = Numbers.from_datasets(numbers(7), batch_size=4, size=3)
    assert type(data) is Numbers
    assert data.hparams == {"size": 3, "root": Path("data"), "batch_size": 4}
    assert data.train_dataloader().batch_size == 4


def test_from_datasets_can_be_pickled() -> None:
    data = pickle.loads(pickle.dumps(LightningDataModule.from_datasets(numbers(4))))
    assert len(data.train_dataloader()) == 4


def test_str_lists_sizes() -> None:
    data = LightningDataModule.from_datasets(numbers(7), [numbers(2), Stream()])
    assert str(data).splitlines() == [
        "{Train dataloader: size=7}",
        "{Validation dataloader: 1. size=2 ; 2. size=NA}",
        "{Test dataloader: None}",
        "{Predict dataloader: None}",
    ]


def test_str_before_setup_and_without_drawing_random_numbers() -> None:
    data = Numbers()
    assert str(data).startswith("{Train dataloader: None}")
    data.setup("fit")
    before = torch.get_rng_state()
    assert str(data).startswith("{Train dataloader: size=6}")
    assert torch.equal(before, torch.get_rng_state())


def test_load_from_checkpoint(tmp_path: Path) -> None:
    saved = Numbers(size=3, root=Path("elsewhere"))
    saved.position = 5
    checkpoint = {
        "state_dict": {},
        Numbers.CHECKPOINT_HYPER_PARAMS_KEY: clean_hparams(saved.hparams),
        Numbers.CHECKPOINT_HYPER_PARAMS_NAME: saved._hparams_name,
        "Numbers": saved.state_dict(),
    }
    assert Numbers.CHECKPOINT_HYPER_PARAMS_KEY == "datamodule_hyper_parameters"
    torch.save(checkpoint, tmp_path / "a.ckpt")
    loaded = Numbers.load_from_checkpoint(tmp_path / "a.ckpt", batch_size=9)
    assert loaded.hparams == {"size": 3, "root": Path("elsewhere"), "batch_size": 9}
    assert loaded.position == 5


def test_load_from_checkpoint_on_an_instance() -> None:
    with pytest.raises(TypeError, match=r"`Numbers.load_from_checkpoint` was called on an instance"):
        Numbers().load_from_checkpoint("x")
