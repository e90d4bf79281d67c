"""Saving checkpoints while a run goes on, and keeping the best."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from leyden.callbacks import checkpoint_folder as folder
from leyden.callbacks.checkpoint_arguments import check_arguments, check_link
from leyden.callbacks.checkpoint_folder import Save
from leyden.callbacks.checkpoint_names import fill_template
from leyden.callbacks.checkpoint_ranking import best_of, ranked, score_of, worst_score
from leyden.callbacks.checkpoint_schedule import Schedule
from leyden.callbacks.monitoring import looks_after_training_epoch
from leyden.core.callback import Checkpoint
from leyden.errors import MisconfigurationException, missing_metric
from leyden.legacy.constructors import model_checkpoint_arguments, takes_old
from leyden.utils.files import atomic_write
from leyden.utils.rank import rank_zero_info, rank_zero_warn

if TYPE_CHECKING:
    from torch import Tensor

    from leyden.callbacks.checkpoint_plan import Plan
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class ModelCheckpoint(Checkpoint):
    """Save checkpoints during ``fit``: by steps, epochs or time; keep the best, the latest, or all.

    One file is written per ``global_step`` at most, nothing in the sanity check, under ``fast_dev_run`` or outside
    ``fit``. A file is deleted only after its successor was written; the file the run was resumed from, and files
    outside ``dirpath``, are never deleted.

    Args:
        dirpath: Folder or URL; default: ``checkpoints`` in the first logger's folder, else in ``default_root_dir``.
        filename: Template of the name, fields are metrics, ``epoch`` and ``step``; a missing metric counts as 0 and a
            ``/`` makes a folder. Default: ``{epoch}-{step}``, for instance ``epoch=0-step=4.ckpt``.
        monitor: Name of the logged value to rank by; None: the latest is the best.
        verbose: Whether to announce each save.
        save_last: Whether to write ``last.ckpt`` with each save; ``"link"``: a link to the file just saved.
        save_top_k: How many of the best to keep; -1 all, 0 none. Without ``monitor`` only -1, 0, 1.
        save_on_exception: Whether to save when the run ends by an exception.
        save_weights_only: Whether to leave out what only resuming needs.
        mode: ``"min"`` or ``"max"``: which value of ``monitor`` is better. NaN is the worst.
        auto_insert_metric_name: Whether a field becomes ``name=value`` or the value alone.
        every_n_train_steps: Save when ``global_step`` is a multiple of it. If ``monitor`` was not logged yet, at the
            next validation's end.
        train_time_interval: Save when that time has passed since the last such save.
        every_n_epochs: Save in every n-th epoch; the default, with 1. 0: never by epochs.
        save_on_train_epoch_end: Whether epochs save at the end of training or of validation; default: of training if
            there is one validation per epoch or none.
        enable_version_counter: Whether to append ``-v1``, ``-v2``, ... to a name that is taken, or to overwrite.

    Raises:
        MisconfigurationException: An argument is not one of the accepted values, or two triggers are given.
        ValueError: ``save_last="link"`` with a URL.

    Example:
        >>> import leyden as pl
        >>> checkpoint = pl.callbacks.ModelCheckpoint(filename="{epoch}-{val_loss:.2f}", monitor="val_loss")
        >>> checkpoint.format_checkpoint_name({"epoch": 3, "val_loss": 0.25})
        'epoch=3-val_loss=0.25.ckpt'
    """

    CHECKPOINT_JOIN_CHAR = "-"
    CHECKPOINT_EQUALS_CHAR = "="
    CHECKPOINT_NAME_LAST = "last"
    FILE_EXTENSION = ".ckpt"
    STARTING_VERSION = 1

    @takes_old(model_checkpoint_arguments)
    def __init__(
        self,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        verbose: bool = False,
        save_last: bool | Literal["link"] | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = False,
        save_weights_only: bool = False,
        mode: str = "min",
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
    ) -> None:
        self.dirpath = None if dirpath is None else folder.absolute(dirpath)
        self.filename = filename
        self.monitor = monitor
        self.verbose = verbose
        self.save_last = save_last
        self.save_top_k = save_top_k
        self.save_on_exception = save_on_exception
        self.save_weights_only = save_weights_only
        self.mode = mode
        self.auto_insert_metric_name = auto_insert_metric_name
        self._schedule = Schedule(every_n_train_steps, every_n_epochs, train_time_interval)
        self._save_on_train_epoch_end = save_on_train_epoch_end
        self._enable_version_counter = enable_version_counter
        check_arguments(mode, monitor, save_top_k, save_last, filename)
        check_link(save_last, self.dirpath)

        self.best_k_models: dict[str, Tensor] = {}
        self.best_model_path = ""
        self.best_model_score: Tensor | None = None
        self.kth_best_model_path = ""
        self.kth_value = worst_score(self.mode)
        self.current_score: Tensor | None = None
        self.last_model_path = ""
        self._last_global_step_saved = 0
        self._waiting = False  # a trigger fired before the monitored value was logged
        self._validated = False
        self._wrote_last = False
        self._pending: list[Save] = []
        self._resumed: set[str] = set()

    @property
    def every_n_epochs(self) -> int:
        """Epochs between two saves; 0: not by epochs."""
        return self._schedule.every_n_epochs

    # -- when --------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Settle the folder; before a fit, create it and test that it can be written."""
        dirpath = folder.default_folder(trainer) if self.dirpath is None else self.dirpath
        self.dirpath = dirpath = trainer.strategy.broadcast(dirpath)
        check_link(self.save_last, dirpath)
        if stage != "fit":
            return
        self._validated = self._waiting = self._wrote_last = False
        self._pending.clear()
        if trainer.fast_dev_run or not (self.save_top_k or self.save_last or self.save_on_exception):
            return
        problem = ""
        if trainer.is_global_zero:
            origin = trainer.ckpt_path or (self.best_model_path if trainer.global_step else "")
            continued = bool(origin) and folder.holds(dirpath, str(origin))
            if self.save_top_k != 0 and folder.is_filled(dirpath) and not continued:
                rank_zero_warn(f"Checkpoint directory {dirpath} exists and is not empty.")
            problem = folder.prepare(dirpath, folder.weight_bytes(pl_module))
        problem = trainer.strategy.broadcast(problem)
        if problem:
            raise MisconfigurationException(problem)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; remember which file the run was resumed from, before links move."""
        self._schedule.start()
        self._resumed = folder.names_of(trainer.ckpt_path) if trainer.ckpt_path else set()
        if self._last_global_step_saved > trainer.global_step:  # a new run with an old callback
            self._last_global_step_saved = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if the steps or the time say so; without the monitored value wait for the next validation."""
        if self._schedule.fires_after_batch(trainer) and self._may_save(trainer):
            self._save(trainer, wait=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if this is the place to, or if a save waits for what validation logged."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._validated = True
        if self._may_save(trainer) and (self._waiting or self._saves_epoch(trainer, after_training=False)):
            # On the last batch, the end of the training epoch follows and may still log the value.
            self._save(trainer, wait=self._waiting and trainer.is_last_batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if this is the place to, or if a save waits for what the epoch logged."""
        if self._may_save(trainer) and (self._waiting or self._saves_epoch(trainer, after_training=True)):
            self._save(trainer, wait=self._waiting and trainer.enable_validation and not self._validated)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``last.ckpt`` if this run has not yet."""
        if self.save_last and not self._wrote_last and self._may_save(trainer):
            before = self._record()
            last = self._next_last(trainer, self._metrics(trainer))
            self._submit(trainer, "", last, [], before)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Forget saves that were decided but not written; save under the usual name if asked to."""
        if self._pending:
            self._restore(self._pending[0].before)
            self._pending.clear()
        if not self.save_on_exception or not self._may_save(trainer):
            return
        before, metrics = self._record(), self._metrics(trainer)
        path = self._free_name(trainer, metrics)
        last = self._next_last(trainer, metrics, path) if self.save_last else ""
        try:  # at once: the batch that failed has no end to wait for
            self._submit(trainer, path, last, [], before, at_once=True)
        except Exception as error:  # noqa: BLE001  # the run's own exception matters more
            rank_zero_warn(f"ModelCheckpoint could not save {path} after {type(exception).__name__}: {error!r}")

    def plan(
        self,
        trainer: Trainer,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        *,
        logged_in: str = "validation",
        seconds_per_batch: float | None = None,
    ) -> Plan:
        """Print, and return, what a ``fit`` with this Trainer will write and delete when; nothing is run.

        Args:
            trainer: The Trainer, with all its callbacks; it may have trained already, or be about to.
            train_dataloaders: As for ``fit``, or the number of batches in an epoch; None: those of its last run.
            val_dataloaders: As for ``fit``, or a number of batches; None: those of its last run, if any.
            logged_in: Where the monitored value is logged: ``"validation"``, ``"step"`` or ``"epoch"`` of training.
            seconds_per_batch: How long a batch takes, for triggers that look at the clock.

        Raises:
            ValueError: The number of training batches is not known.
        """
        others = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
        from leyden.callbacks.checkpoint_plan import plan  # on use: the rehearsal is for those who ask

        found = plan(self, others, trainer, train_dataloaders, val_dataloaders, logged_in, seconds_per_batch)
        trainer.print(found)
        return found

    def _may_save(self, trainer: Trainer) -> bool:
        return (
            not trainer.fast_dev_run
            and trainer.state.fn == "fit"
            and not trainer.sanity_checking
            and trainer.global_step != self._last_global_step_saved
        )

    def _saves_epoch(self, trainer: Trainer, *, after_training: bool) -> bool:
        place = self._save_on_train_epoch_end
        place = looks_after_training_epoch(trainer) if place is None else place
        return place is after_training and self._schedule.fires_in_epoch(trainer.current_epoch)

    # -- what name ---------------------------------------------------------------------------------------------------

    def format_checkpoint_name(
        self,
        metrics: Mapping[str, Any],
        filename: str | None = None,
        ver: int | None = None,
        prefix: str | None = None,
    ) -> str:
        """Fill the template.

        Args:
            metrics: Values by name, ``epoch`` and ``step`` among them.
            filename: Template; default: the callback's.
            ver: Number to append as ``-v1``.
            prefix: Text to put first.

        Returns:
            The path, in ``dirpath`` if that is known.
        """
        join = self.CHECKPOINT_JOIN_CHAR
        template = filename or self.filename or f"{{epoch}}{join}{{step}}"
        name = fill_template(
            template, metrics, insert_names=self.auto_insert_metric_name, equals=self.CHECKPOINT_EQUALS_CHAR
        )
        parts = [prefix or "", name, "" if ver is None else f"v{ver}"]
        name = join.join(part for part in parts if part) + self.FILE_EXTENSION
        return os.path.join(self.dirpath, name) if self.dirpath else name

    def file_exists(self, filepath: str, trainer: Trainer) -> bool:
        """Return whether rank 0 sees the file; all ranks get its answer."""
        return bool(trainer.strategy.broadcast(trainer.is_global_zero and folder.exists(filepath)))

    def _metrics(self, trainer: Trainer) -> dict[str, Any]:
        """Return the logged values with ``epoch`` and ``step``; values of these names that the user logged win."""
        metrics: dict[str, Any] = dict(trainer.callback_metrics)
        metrics["epoch"] = int(metrics.get("epoch", trainer.current_epoch))
        metrics["step"] = int(metrics.get("step", trainer.global_step))
        return metrics

    def _free_name(
        self,
        trainer: Trainer,
        metrics: Mapping[str, Any],
        replaced: Collection[str] = (),
        filename: str | None = None,
        own: str = "",
    ) -> str:
        """Return the name that nobody has; ``replaced`` may be overwritten, ``own`` is about to be written."""
        path, version = self.format_checkpoint_name(metrics, filename), self.STARTING_VERSION
        while self._enable_version_counter and path not in replaced and (path == own or self._is_taken(path, trainer)):
            path, version = self.format_checkpoint_name(metrics, filename, ver=version), version + 1
        return path

    def _is_taken(self, path: str, trainer: Trainer) -> bool:
        others = (c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint))
        unwritten = {name for c in others for save in c._pending for name in (save.path, save.last)}
        return path in unwritten or self.file_exists(path, trainer)

    def _next_last(self, trainer: Trainer, metrics: Mapping[str, Any], own: str = "") -> str:
        path = self._free_name(trainer, metrics, [self.last_model_path], self.CHECKPOINT_NAME_LAST, own)
        self.last_model_path = path
        self._wrote_last = True
        return path

    # -- which to keep -----------------------------------------------------------------------------------------------

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return whether a value of ``monitor`` is among the ``save_top_k`` best so far, on every rank."""
        if current is None or self.save_top_k == 0:
            return False
        if self.save_top_k == -1 or len(self.best_k_models) < self.save_top_k:
            return True
        worst = self.best_k_models[ranked(self.best_k_models, self.mode)[self.save_top_k - 1]]
        better = bool(current < worst if self.mode == "min" else current > worst)
        return bool(trainer.strategy.reduce_boolean_decision(better))

    def to_yaml(self, filepath: str | os.PathLike[str] | None = None) -> None:
        """Write ``best_k_models`` as YAML; default: ``best_k_models.yaml`` in ``dirpath``."""
        import yaml

        scores = {path: score.item() for path, score in self.best_k_models.items()}
        path = os.path.join(self.dirpath or "", "best_k_models.yaml") if filepath is None else os.fspath(filepath)
        with atomic_write(path) as file:
            file.write(yaml.safe_dump(scores).encode())

    def _save(self, trainer: Trainer, *, wait: bool) -> None:
        """Decide by the values of this moment; the files are written when no hook of the batch is pending."""
        before, metrics = self._record(), self._metrics(trainer)
        path, replaced = "", list[str]()
        self._waiting = False
        if self.save_top_k != 0:
            if self.monitor is not None and self.monitor not in metrics:
                self._waiting = wait
                return None if wait else self._report_missing(trainer)
            if self.monitor is not None and not self.check_monitor_top_k(
                trainer, score_of(metrics[self.monitor], self.mode)
            ):
                return self._announce(trainer, f"{self.monitor!r} was not in top {self.save_top_k}")
            path, replaced = self._rank(trainer, metrics) if self.monitor else self._follow(trainer, metrics)
        elif not self.save_last:
            return None
        last = self._next_last(trainer, metrics, path) if self.save_last else ""
        return self._submit(trainer, path, last, replaced, before)

    def _follow(self, trainer: Trainer, metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
        """Without a monitor: the new file is the best; return its path and those it replaces."""
        replaced = [self.best_model_path] if self.save_top_k == 1 else []
        self.best_model_path = self._free_name(trainer, metrics, replaced)
        self._announce(trainer, f"saving model to {self.best_model_path!r}")
        return self.best_model_path, replaced

    def _rank(self, trainer: Trainer, metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
        """With a monitor: enter the new file in the ranking; return its path and those it replaces."""
        score = score_of(metrics[self.monitor or ""], self.mode)
        ranking = ranked(self.best_k_models, self.mode)
        replaced = ranking[self.save_top_k - 1 :] if self.save_top_k > 0 else []
        for old in replaced:
            del self.best_k_models[old]
        path = self._free_name(trainer, metrics, replaced)
        self.current_score = self.best_k_models[path] = score
        ranking = ranked(self.best_k_models, self.mode)
        if len(ranking) == self.save_top_k:
            self.kth_best_model_path = ranking[-1]
            self.kth_value = self.best_k_models[self.kth_best_model_path]
        self.best_model_path = best_of(self.best_k_models, self.mode)
        self.best_model_score = self.best_k_models[self.best_model_path]
        reached = f"{self.monitor!r} reached {score.item():.5f} (best {self.best_model_score.item():.5f})"
        self._announce(trainer, f"{reached}, saving model to {path!r} as top {self.save_top_k}")
        return path, replaced

    def _announce(self, trainer: Trainer, text: str) -> None:
        if self.verbose:
            rank_zero_info(f"Epoch {trainer.current_epoch}, global step {trainer.global_step}: {text}")

    def _report_missing(self, trainer: Trainer) -> None:
        message = (
            f"`ModelCheckpoint(monitor={self.monitor!r})` could not find the monitored key in the returned metrics. "
            + missing_metric(self.monitor or "", trainer.callback_metrics)
        )
        if self._validated:
            raise MisconfigurationException(message)
        rank_zero_warn(message)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _submit(
        self,
        trainer: Trainer,
        path: str,
        last: str,
        obsolete: list[str],
        before: dict[str, Any],
        *,
        at_once: bool = False,
    ) -> None:
        """Hand the writing over, and what to delete after it."""
        if last:
            obsolete = [*obsolete, before["last_model_path"]]
        obsolete = [old for old in obsolete if old not in ("", path, last) and self._is_removable(old)]
        save = Save(path, last, obsolete, before)
        self._last_global_step_saved = trainer.global_step
        self._pending.append(save)
        if at_once:
            self._write(trainer, save)
        else:
            trainer.when_settled(lambda: self._write(trainer, save))

    def _write(self, trainer: Trainer, save: Save) -> None:
        if save not in self._pending:
            return
        try:
            if save.path:
                trainer.save_checkpoint(save.path, self.save_weights_only)
            if save.last and save.path and self.save_last == "link":
                if trainer.is_global_zero:
                    folder.link(save.path, save.last)
                trainer.strategy.barrier()
            elif save.last:
                trainer.save_checkpoint(save.last, self.save_weights_only)
        except BaseException:  # the attributes name only files that exist
            self._restore(save.before)
            self._pending.clear()
            raise
        self._pending.remove(save)
        if trainer.is_global_zero:
            plugin = trainer._runtime.checkpoint_io
            for old in save.obsolete:
                folder.remove(old) if plugin is None else plugin.remove_checkpoint(old)
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self)

    def _is_removable(self, path: str) -> bool:
        """Return whether a file is ours to delete: in our folder, and not what the run was resumed from."""
        return path not in self._resumed and folder.holds(self.dirpath or "", path)

    # -- state -------------------------------------------------------------------------------------------------------

    @property
    def state_key(self) -> str:
        """The class with monitor, mode and triggers, so that several can live in one Trainer."""
        return self._generate_state_key(
            monitor=self.monitor,
            mode=self.mode,
            every_n_train_steps=self._schedule.every_n_train_steps,
            every_n_epochs=self._schedule.every_n_epochs,
            train_time_interval=self._schedule.train_time_interval,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the ranking, the paths, and what is still due."""
        return {
            "monitor": self.monitor,
            "best_model_score": self.best_model_score,
            "best_model_path": self.best_model_path,
            "current_score": self.current_score,
            "dirpath": self.dirpath,
            "best_k_models": dict(self.best_k_models),
            "kth_best_model_path": self.kth_best_model_path,
            "kth_value": self.kth_value,
            "last_model_path": self.last_model_path,
            "last_global_step_saved": self._last_global_step_saved,
            "waiting": self._waiting,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the ranking back; if the folder is another one, only ``best_model_path``."""
        self.best_model_path = state_dict["best_model_path"]
        dirpath = state_dict.get("dirpath", self.dirpath)
        if dirpath != self.dirpath:
            rank_zero_warn(
                f"The dirpath has changed from {dirpath!r} to {self.dirpath!r}, therefore `best_model_score`, "
                "`kth_best_model_path`, `kth_value`, `last_model_path` and `best_k_models` are not restored. "
                "Only `best_model_path` is."
            )
            return
        self.best_model_score = state_dict["best_model_score"]
        self.current_score = state_dict.get("current_score")
        self.best_k_models = dict(state_dict.get("best_k_models", self.best_k_models))
        self.kth_best_model_path = state_dict.get("kth_best_model_path", self.kth_best_model_path)
        self.kth_value = state_dict.get("kth_value", self.kth_value)
        self.last_model_path = state_dict.get("last_model_path", self.last_model_path)
        self._last_global_step_saved = state_dict.get("last_global_step_saved", 0)
        self._waiting = state_dict.get("waiting", False)

    def _record(self) -> dict[str, Any]:
        return {**self.state_dict(), "wrote_last": self._wrote_last}

    def _restore(self, record: dict[str, Any]) -> None:
        self.load_state_dict(record)
        self._wrote_last = record["wrote_last"]
