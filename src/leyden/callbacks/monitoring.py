"""What callbacks that watch a logged value share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leyden.trainer import Trainer

MODES = ("min", "max")


def looks_after_training_epoch(trainer: Trainer) -> bool:
    """Return the default place of a monitoring callback: True at the end of the training epoch, False of validation.

    With one validation per training epoch (``val_check_interval=1.0``, ``check_val_every_n_epoch=1``), or with none,
    that is the end of the training epoch. The int ``val_check_interval=1`` means a validation after every batch and
    is not 1.0; nor is an interval of time.
    """
    if not trainer.enable_validation:
        return True
    if trainer.check_val_every_n_epoch != 1:
        return False
    batches = trainer.num_val_batches  # empty while the loaders are unknown
    if batches and sum(batches) == 0:
        return True
    interval = trainer.val_check_interval
    return interval is None or (isinstance(interval, float) and interval == 1.0)


def logs_now(trainer: Trainer) -> bool:
    """Whether the training batch that just ended is one whose step values go to the loggers."""
    every, progress, window = trainer.log_every_n_steps, trainer._progress, trainer._run_now.window
    stepped = progress.batch % window.size == 0 or progress.is_last_batch
    return bool(every and stepped and (progress.stepped + 1) % every == 0)
