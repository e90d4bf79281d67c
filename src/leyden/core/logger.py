"""Loggers: where a run's numbers and hyperparameters go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import Namespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from leyden.core.callback import Checkpoint


class Logger(ABC):
    """Base class of loggers: define ``name``, ``version``, ``log_metrics`` and ``log_hyperparams``.

    Example:
        >>> class Printing(Logger):
        ...     name = "printing"
        ...     version = 0
        ...     def log_metrics(self, metrics, step=None):
        ...         print(step, metrics)
        ...     def log_hyperparams(self, params):
        ...         print(params)
        >>> Printing().log_metrics({"loss": 0.5}, step=3)
        3 {'loss': 0.5}
    """

    opens_first: bool = False
    """Whether its experiment is made before those of the other loggers of a run."""

    @property
    @abstractmethod
    def name(self) -> str | None:
        """The experiment's name."""

    @property
    @abstractmethod
    def version(self) -> int | str | None:
        """The version of the experiment; the progress bar shows it as ``v_num``."""

    @property
    def save_dir(self) -> str | None:
        """The folder under which this logger and the checkpoints are saved; None: the Trainer's default_root_dir."""
        return None

    @property
    def root_dir(self) -> str | None:
        """The folder that holds all versions of the experiment; None for a logger without local files."""
        return None

    @property
    def log_dir(self) -> str | None:
        """The folder of this version; None for a logger without local files."""
        return None

    @property
    def group_separator(self) -> str:
        """What stands between a group and the names in it; default ``"/"``."""
        return "/"

    @property
    def experiment(self) -> Any:
        """The logging library's own object; None if there is none."""
        return None

    @abstractmethod
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record numbers at a step."""

    @abstractmethod
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record hyperparameters."""

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Record the model's graph; does nothing by default."""

    def save(self) -> None:
        """Write out what was recorded and not yet written; does nothing by default."""

    def finalize(self, status: str) -> None:
        """End the experiment; ``status`` is ``"success"``, ``"failed"`` or ``"finished"``. Saves by default."""
        self.save()

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """Called after a checkpoint callback has saved; does nothing by default."""
