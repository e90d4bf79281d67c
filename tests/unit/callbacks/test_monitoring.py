from types import SimpleNamespace

import pytest

from leyden.callbacks.monitoring import looks_after_training_epoch


def trainer(**changes):
    settings = {
        "enable_validation": True,
        "check_val_every_n_epoch": 1,
        "num_val_batches": [4],
        "val_check_interval": 1.0,
    }
    return SimpleNamespace(**settings | changes)


@pytest.mark.parametrize(
    "changes", [{}, {"enable_validation": False}, {"num_val_batches": [0]}, {"val_check_interval": None}]
)
def test_one_validation_per_epoch_or_none_is_looked_at_after_the_training_epoch(changes):
    assert looks_after_training_epoch(trainer(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"check_val_every_n_epoch": 2},
        {"check_val_every_n_epoch": None, "val_check_interval": 3},
        {"val_check_interval": 0.5},
        {"val_check_interval": 1},
        {"val_check_interval": "00:00:10:00"},
    ],
)
def test_other_intervals_are_looked_at_after_validation(changes):
    assert not looks_after_training_epoch(trainer(**changes))


def test_sizes_of_the_loaders_need_not_be_known_yet():
    assert looks_after_training_epoch(trainer(num_val_batches=[]))
