"""A run's configuration, saved beside its logs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from leyden.core.callback import Callback
from leyden.utils.files import atomic_write, filesystem

if TYPE_CHECKING:
    from leyden.cli.parser import LightningArgumentParser
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class SaveConfigCallback(Callback):
    """Saves the configuration in the folder of the first logger when a run begins, before any batch.

    Args:
        parser: The parser that made the configuration.
        config: The whole configuration.
        config_filename: The file's name.
        overwrite: Replace a file that is there.
        multifile: Write parts that came from files of their own to files of their own.
        save_to_log_dir: False: leave it to :meth:`save_config`.

    Attributes:
        already_saved: Whether it did; later runs of the same Trainer save nothing.
    """

    def __init__(
        self,
        parser: LightningArgumentParser,
        config: Any,
        config_filename: str = "config.yaml",
        overwrite: bool = False,
        multifile: bool = False,
        save_to_log_dir: bool = True,
    ) -> None:
        self.parser = parser
        self.config = config
        self.config_filename = config_filename
        self.overwrite = overwrite
        self.multifile = multifile
        self.save_to_log_dir = save_to_log_dir
        self.already_saved = False
        if not save_to_log_dir and type(self).save_config is SaveConfigCallback.save_config:
            raise ValueError("`save_to_log_dir=False` saves nothing. Fix: override `save_config` in a sub-class.")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save.

        Raises:
            RuntimeError: The file is there, on any process, and may not be replaced.
        """
        if self.already_saved:
            return
        if self.save_to_log_dir and (folder := trainer.log_dir) is not None:
            path = os.path.join(folder, self.config_filename)
            self._check_absent(trainer, path)
            if trainer.is_global_zero:
                self._write(path)
        if trainer.is_global_zero:
            self.save_config(trainer, pl_module, stage)
        self.already_saved = True

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Override it to save the configuration elsewhere too; called on the first process only."""

    def _check_absent(self, trainer: Trainer, path: str) -> None:
        system, name = filesystem(path)
        if not self.overwrite and trainer.strategy.broadcast(trainer.is_global_zero and system.exists(name)):
            raise RuntimeError(
                f"`SaveConfigCallback` expected {path!r} not to exist: it is the configuration of another run. Fix: delete "
                'it, or LightningCLI(save_config_kwargs={"overwrite": True}), or LightningCLI(save_config_callback=None) '
                "to save none."
            )

    def _write(self, path: str) -> None:
        if not self.multifile:
            text = self.parser.dump(self.config, skip_unset=False, skip_validation=True)
            with atomic_write(path) as file:
                file.write(text.encode())
            return
        system, name = filesystem(os.path.dirname(path))
        system.makedirs(name, exist_ok=True)
        self.parser.save(self.config, path, skip_unset=False, skip_validation=True, overwrite=True, multifile=True)
