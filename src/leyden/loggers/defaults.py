"""The loggers that a Trainer has."""

from __future__ import annotations

from leyden.core.logger import Logger
from leyden.engine.config import TrainerArguments, listed
from leyden.loggers.csv_logs import CSVLogger
from leyden.loggers.dummy import DummyLogger
from leyden.loggers.installed import is_installed
from leyden.loggers.tensorboard import TensorBoardLogger
from leyden.utils.rank import rank_zero_warn


def default_loggers(arguments: TrainerArguments, root: str) -> list[Logger]:
    """Return the loggers that were given, or the default one.

    Example:
        >>> arguments, _ = TrainerArguments.checked({"fast_dev_run": True})
        >>> [type(logger).__name__ for logger in default_loggers(arguments, ".")]
        ['DummyLogger']
    """
    given = arguments.logger
    if arguments.fast_dev_run and given is not False:
        return [DummyLogger()]
    if given is None or given is True:
        return [default_logger(root)]
    return listed(given or None)


def default_logger(root: str) -> Logger:
    """Return a logger to ``root/lightning_logs``: for TensorBoard where that is installed, else to CSV files."""
    if is_installed("tensorboard") or is_installed("tensorboardX"):
        return TensorBoardLogger(root)
    rank_zero_warn(
        "tensorboard is not installed, so metrics go to CSV files in `lightning_logs`. "
        'Fix: pip install "leyden[tensorboard]", or pass logger=CSVLogger(".").',
        stacklevel=4,
    )
    return CSVLogger(root)
