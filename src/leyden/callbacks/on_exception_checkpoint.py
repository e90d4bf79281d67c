"""OnExceptionCheckpoint: the state of a run that fails, so that it can go on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from leyden.callbacks import checkpoint_folder as folder
from leyden.core.callback import Checkpoint
from leyden.errors import bad_value
from leyden.utils.rank import rank_zero_info, rank_zero_warn

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class OnExceptionCheckpoint(Checkpoint):
    """Save a checkpoint when ``fit`` ends by an exception; remove it when a later ``fit`` ends well.

    ``fit`` without a ``ckpt_path`` continues from the file if it is there, and ``ckpt_path="last"`` considers it.
    It is written beside what :class:`ModelCheckpoint` keeps, and takes no part in its ranking.

    Args:
        dirpath: Folder or URL.
        filename: Name without the ending ``.ckpt``.

    Raises:
        ValueError: ``filename`` is empty.

    Example:
        >>> OnExceptionCheckpoint("runs").ckpt_path.endswith("on_exception.ckpt")
        True
    """

    FILE_EXTENSION = ".ckpt"

    def __init__(self, dirpath: str | os.PathLike[str], filename: str = "on_exception") -> None:
        if not filename:
            raise ValueError(bad_value("filename", filename, "a name without its ending", "write 'on_exception'"))
        self.dirpath = os.fspath(dirpath)
        self.filename = filename

    @property
    def ckpt_path(self) -> str:
        """The file's path."""
        return os.path.join(self.dirpath, self.filename + self.FILE_EXTENSION)

    @property
    def resumes_from(self) -> str | None:
        """The file that a failed run left; None if there is none."""
        return self.ckpt_path if folder.exists(self.ckpt_path) else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Say so if the run continues a failed one."""
        if trainer.ckpt_path == self.ckpt_path:
            rank_zero_info(f"The run continues the one that failed and left {self.ckpt_path}.")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save; what goes wrong meanwhile is only a warning, since the run's own exception matters more."""
        if trainer.fast_dev_run or trainer.state.fn != "fit":  # in other runs there is nothing to continue
            return
        try:
            trainer.save_checkpoint(self.ckpt_path)
        except Exception as error:  # noqa: BLE001
            rank_zero_warn(f"`OnExceptionCheckpoint` could not save {self.ckpt_path}: {error!r}")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove the file after a fit that ended well."""
        if stage == "fit" and not trainer.interrupted and trainer.is_global_zero and not trainer.fast_dev_run:
            folder.remove(self.ckpt_path)
