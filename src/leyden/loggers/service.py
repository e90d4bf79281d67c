"""What loggers to a tracking library share: a prefix of names, and checkpoints as artifacts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

from leyden.core.callback import Checkpoint
from leyden.core.logger import Logger
from leyden.errors import bad_value
from leyden.loggers.checkpoints import SavedCheckpoint, unsent_checkpoints
from leyden.utils.rank import rank_zero_only

LogModel = Literal[True, False, "all"]


class ServiceLogger(Logger):
    """Base of the loggers to a tracking library, which they import when it is first needed.

    Args:
        prefix: Put before every metric's name, with a dash.
        log_model: Send checkpoints too. True: those that are left when a run ends well; ``"all"``: each as soon as it
            is saved; False: none. Checkpoints under a URL are not sent.

    Raises:
        ValueError: ``log_model`` is something else.
    """

    LOGGER_JOIN_CHAR = "-"

    def __init__(self, prefix: str = "", log_model: LogModel = False) -> None:
        if log_model not in (True, False, "all"):
            raise ValueError(bad_value("log_model", log_model, "True, False or 'all'"))
        self._prefix = prefix
        self._log_model = log_model
        self._experiment: Any = None
        self._callbacks: list[Checkpoint] = []
        self._sent: dict[str, float] = {}

    def prefixed(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Put the prefix before the names."""
        start = f"{self._prefix}{self.LOGGER_JOIN_CHAR}" if self._prefix else ""
        return {start + name: value for name, value in metrics.items()}

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """Send the new checkpoints, or remember to do so at the end."""
        if checkpoint_callback not in self._callbacks:
            self._callbacks.append(checkpoint_callback)
        if self._log_model == "all" or (self._log_model and getattr(checkpoint_callback, "save_top_k", 1) == -1):
            self._send_checkpoints()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Send what ``log_model`` asks for if the run ended well, and write out what was recorded."""
        if self._log_model and status != "failed":
            self._send_checkpoints()
        self.save()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_experiment": None}  # a connection stays in its process

    def _send_checkpoints(self) -> None:
        for callback in self._callbacks:
            for saved in unsent_checkpoints(callback, self._sent):
                self._log_checkpoint(saved)

    @abstractmethod
    def _log_checkpoint(self, saved: SavedCheckpoint) -> None:
        """Send a checkpoint."""
