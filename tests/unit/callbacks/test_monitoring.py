from types import SimpleNamespace

import pytest

from leyden.callbacks.monitoring import logs_now, looks_after_training_epoch


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


@pytest.mark.parametrize(
    ("every", "batch", "stepped", "window", "last", "now"),
    [
        (2, 2, 1, 1, False, True),
        (2, 1, 0, 1, False, False),
        (1, 3, 1, 2, False, False),  # the optimizer did not step
        (1, 3, 1, 2, True, True),  # it does at the epoch's end
        (0, 2, 1, 1, True, False),
    ],
)
def test_values_are_logged_on_batches_that_step_every_so_often(every, batch, stepped, window, last, now):
    made = SimpleNamespace(
        log_every_n_steps=every,
        _progress=SimpleNamespace(batch=batch, stepped=stepped, is_last_batch=last),
        _run_now=SimpleNamespace(window=SimpleNamespace(size=window)),
    )
    assert logs_now(made) is now
