from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from leyden.demos.boring_classes import RandomDataset, RandomIterableDataset
from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.legacy.utilities.data import (
    extract_batch_size,
    has_iterable_dataset,
    has_len,
    has_len_all_ranks,
    is_shared_filesystem,
    sized_len,
    suggested_max_num_workers,
)
from leyden.runtime.strategies.single import SingleDeviceStrategy

EMPTY = DataLoader([])  # type: ignore[arg-type]
SIZED = DataLoader(RandomDataset(2, 4))
UNSIZED = DataLoader(RandomIterableDataset(2, 4))


class TwoRanks(SingleDeviceStrategy):
    """This rank of two; the other one has three batches."""

    world_size = 2

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        return tensor + 3


@pytest.mark.parametrize(
    ("batch", "size"),
    [(torch.ones(3, 2), 3), ({"a": ["x", torch.ones(4)]}, 4), (torch.tensor(1.0), 1), ((torch.ones(2), 5), 2)],
)
def test_the_size_of_a_batch(batch: Any, size: int) -> None:
    assert extract_batch_size(batch) == size


def test_an_ambiguous_batch_gives_the_first_size_and_a_warning() -> None:
    with pytest.warns(PossibleUserWarning, match="taken to be 4"):
        assert extract_batch_size([torch.ones(4), torch.ones(5)]) == 4


@pytest.mark.parametrize("batch", ["abc", ["a", "b"], [], 3, {"x": "y"}])
def test_a_batch_without_tensors_has_no_size(batch: Any) -> None:
    with pytest.raises(MisconfigurationException, match="batch_size="):
        extract_batch_size(batch)


def test_lengths() -> None:
    assert [sized_len(loader) for loader in (EMPTY, SIZED, UNSIZED)] == [0, 4, None]
    assert has_len(SIZED) and not has_len(UNSIZED)
    with pytest.warns(UserWarning, match="has no batches"):
        assert has_len(EMPTY)
    assert has_iterable_dataset(UNSIZED) and not has_iterable_dataset(SIZED) and not has_iterable_dataset([])


def test_lengths_on_all_ranks() -> None:
    one = SingleDeviceStrategy("cpu")
    assert has_len_all_ranks(SIZED, one) and not has_len_all_ranks(UNSIZED, one)
    with pytest.warns(UserWarning, match="no batches on any process"):
        assert has_len_all_ranks(EMPTY, one)
    with pytest.raises(RuntimeError, match="none on this one"):
        has_len_all_ranks(EMPTY, TwoRanks())
    assert has_len_all_ranks(EMPTY, TwoRanks(), allow_zero_length_dataloader_with_multiple_devices=True)


def test_workers_share_the_cores() -> None:
    assert suggested_max_num_workers(10_000) == 1
    assert suggested_max_num_workers(1) >= suggested_max_num_workers(2) >= 1
    with pytest.raises(ValueError, match="local_world_size"):
        suggested_max_num_workers(0)


def test_one_process_and_a_url_share_their_files(tmp_path: Path) -> None:
    assert is_shared_filesystem(SingleDeviceStrategy("cpu"), tmp_path)
    assert is_shared_filesystem(TwoRanks(), "memory://x")


def test_several_processes_look_for_a_file_of_the_first(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        assert is_shared_filesystem(TwoRanks(), tmp_path)
    assert list(tmp_path.iterdir()) == []
