"""WandbLogger: Weights & Biases, online or offline."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from leyden.errors import bad_value
from leyden.loggers.checkpoints import SavedCheckpoint
from leyden.loggers.dummy import rank_zero_experiment
from leyden.loggers.hparams import convert_hparams, plain_hparams
from leyden.loggers.installed import check_installed, starting
from leyden.loggers.service import LogModel, ServiceLogger
from leyden.utils.optional import require
from leyden.utils.rank import rank_zero_only, rank_zero_warn

# Its programs report their own errors to its makers, even offline.
OPT_OUT = {"WANDB_ERROR_REPORTING": "false"}


class WandbLogger(ServiceLogger):
    """Logs to Weights & Biases; with ``offline=True`` to ``save_dir/wandb``, for ``wandb sync`` later.

    The x-axis of every metric is ``trainer/global_step``. The run starts when the Trainer sets up, or when
    ``experiment`` is asked for; a run of ``wandb.init`` that is open then is used instead. It stays open after a fit,
    so that a test can follow, until ``wandb.finish()`` or the end of the program.

    Args:
        name: What the run is called.
        save_dir: The folder for its files.
        version: The run's id, as ``id``, to go on with that run.
        offline: Write files only, and send nothing.
        dir: The same as ``save_dir``, and preferred to it.
        id: The run's id.
        anonymous: Accepted; wandb has no such accounts any more.
        project: The project; default: the environment's ``WANDB_PROJECT``, else ``"lightning_logs"``.
        log_model: Send checkpoints as artifacts of type ``model``. True: those that are left when a run ends well;
            ``"all"``: each as soon as it is saved. Offline they wait in wandb's staging folder for ``wandb sync``.
        experiment: A run to use instead of a new one.
        prefix: Put before every metric's name, with a dash.
        checkpoint_name: The artifact's name; default ``model-<id>``.
        add_file_policy: ``"mutable"``: the file is copied, so that it may change; ``"immutable"``: it is not.
        kwargs: For ``wandb.init``: ``entity``, ``group``, ``tags``, ``config``, ...

    Raises:
        ModuleNotFoundError: ``wandb`` is not installed.

    Example::

        logger = WandbLogger(project="digits", offline=True)
        trainer = Trainer(logger=logger)
    """

    opens_first = True  # before TensorBoard's writer, which `sync_tensorboard=True` is to follow

    def __init__(
        self,
        name: str | None = None,
        save_dir: str | os.PathLike[str] = ".",
        version: str | None = None,
        offline: bool = False,
        dir: str | os.PathLike[str] | None = None,
        id: str | None = None,
        anonymous: bool | None = None,
        project: str | None = None,
        log_model: LogModel = False,
        experiment: Any = None,
        prefix: str = "",
        checkpoint_name: str | None = None,
        add_file_policy: Literal["mutable", "immutable"] = "mutable",
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, log_model)
        if add_file_policy not in ("mutable", "immutable"):
            raise ValueError(bad_value("add_file_policy", add_file_policy, "'mutable' or 'immutable'"))
        check_installed("wandb", "wandb")
        self._offline = offline
        self._save_dir = os.fspath(save_dir if dir is None else dir)
        self._project = project or os.environ.get("WANDB_PROJECT", "lightning_logs")
        self._id = id or version
        self._name = name
        self._init = kwargs
        self._checkpoint_name = checkpoint_name
        self._add_file_policy = add_file_policy
        if experiment is not None:
            self._experiment = experiment
            self._prepare()

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str | None:
        """The run's id; None before the run has one."""
        return self._id

    @property
    def save_dir(self) -> str:
        """The folder for files."""
        return self._save_dir

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The ``wandb.Run``."""
        if self._experiment is None:
            self._experiment = self._start()
            self._prepare()
        return self._experiment

    def _prepare(self) -> None:
        self._id = self._experiment.id
        self._experiment.define_metric("trainer/global_step")
        self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)

    def _start(self) -> Any:
        with starting(**OPT_OUT):
            wandb = require("wandb", "wandb")
            if wandb.run is not None:
                rank_zero_warn(
                    f"The W&B run {wandb.run.id} is open already, and this logger uses it. "
                    "Fix, for a run of its own: call wandb.finish() first."
                )
                return wandb.run
            os.makedirs(self._save_dir, exist_ok=True)
            given = {"resume": "allow", **({"mode": "offline"} if self._offline else {}), **self._init}
            return wandb.init(name=self._name, project=self._project, dir=self._save_dir, id=self._id, **given)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record values; ``step`` becomes the metric ``trainer/global_step``."""
        row = self.prefixed(metrics)
        self.experiment.log(row if step is None else {**row, "trainer/global_step": step})

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace) -> None:
        """Add hyper-parameters to the run's config."""
        self.experiment.config.update(plain_hparams(convert_hparams(params)), allow_val_change=True)

    @rank_zero_only
    def watch(
        self, model: nn.Module, log: str | None = "gradients", log_freq: int = 100, log_graph: bool = True
    ) -> None:
        """Record histograms of a model while it trains.

        Args:
            model: The module.
            log: ``"gradients"``, ``"parameters"``, ``"all"`` or None.
            log_freq: Every so many batches.
            log_graph: Record its graph too.
        """
        self.experiment.watch(model, log=log, log_freq=log_freq, log_graph=log_graph)

    @rank_zero_only
    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Record a table: columns and rows, or a dataframe; cells may be media."""
        table = require("wandb", "wandb").Table(columns=columns, data=data, dataframe=dataframe)
        self.log_metrics({key: table}, step)

    def log_text(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[str]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Record texts as a table."""
        self.log_table(key, columns, data, dataframe, step)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Record pictures: tensors, arrays, PIL images or paths.

        Args:
            key: Their name.
            images: A list of them.
            step: The step.
            kwargs: For ``wandb.Image``, a list each, with one item per picture: ``caption=["a", "b"]``.
        """
        self._log_media("Image", key, "images", images, step, kwargs)

    def log_audio(self, key: str, audios: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Record sounds: arrays or paths; ``kwargs`` are for ``wandb.Audio``, as in :meth:`log_image`."""
        self._log_media("Audio", key, "audios", audios, step, kwargs)

    def log_video(self, key: str, videos: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Record videos: arrays or paths; ``kwargs`` are for ``wandb.Video``, as in :meth:`log_image`."""
        self._log_media("Video", key, "videos", videos, step, kwargs)

    @rank_zero_only
    def _log_media(
        self, kind: str, key: str, argument: str, items: list[Any], step: int | None, kwargs: dict[str, list[Any]]
    ) -> None:
        if not isinstance(items, list):
            raise TypeError(bad_value(argument, items, "a list"))
        for name, values in kwargs.items():
            if len(values) != len(items):
                raise ValueError(bad_value(name, values, f"a list of {len(items)}, one for each of `{argument}`"))
        make = getattr(require("wandb", "wandb"), kind)
        made = [
            make(item, **{name: values[number] for name, values in kwargs.items()}) for number, item in enumerate(items)
        ]
        self.log_metrics({key: made}, step)

    @staticmethod
    @rank_zero_only
    def download_artifact(
        artifact: str,
        save_dir: str | os.PathLike[str] | None = None,
        artifact_type: str | None = None,
        use_artifact: bool | None = True,
    ) -> str:
        """Download an artifact and return its folder.

        Args:
            artifact: ``"entity/project/name:version"``.
            save_dir: The folder to put it in.
            artifact_type: Its type.
            use_artifact: Note in the open run, if there is one, that it was used.
        """
        wandb = require("wandb", "wandb")
        if wandb.run is not None and use_artifact:
            found = wandb.run.use_artifact(artifact)
        else:
            found = wandb.Api().artifact(artifact, type=artifact_type)
        return str(found.download(root=None if save_dir is None else os.fspath(save_dir)))

    def use_artifact(self, artifact: str, artifact_type: str | None = None) -> Any:
        """Note that the run uses an artifact, and return it."""
        return self.experiment.use_artifact(artifact, type=artifact_type)

    def _log_checkpoint(self, saved: SavedCheckpoint) -> None:
        name = self._checkpoint_name or f"model-{self.experiment.id}"
        artifact = require("wandb", "wandb").Artifact(name=name, type="model", metadata=saved.metadata)
        if os.path.isdir(saved.path):
            artifact.add_dir(saved.path, name="model.ckpt", policy=self._add_file_policy)
        else:
            artifact.add_file(saved.path, name="model.ckpt", policy=self._add_file_policy)
        self.experiment.log_artifact(artifact, aliases=list(saved.aliases))
