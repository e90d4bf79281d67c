"""CometLogger: Comet, online or offline."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from leyden.loggers.checkpoints import SavedCheckpoint
from leyden.loggers.dummy import rank_zero_experiment
from leyden.loggers.hparams import flatten_hparams, plain_hparams
from leyden.loggers.installed import COMET_OPT_OUT, check_installed, starting
from leyden.loggers.service import LogModel, ServiceLogger
from leyden.utils.optional import require
from leyden.utils.rank import rank_zero_deprecation, rank_zero_only

OLD_ARGUMENTS = {"experiment_name": "name", "save_dir": "offline_directory"}
"""Names that arguments had, and those they have in ``comet_ml.ExperimentConfig``."""


class CometLogger(ServiceLogger):
    """Logs to Comet; with ``online=False`` to an archive, for ``comet upload`` later.

    The experiment starts when the Trainer sets up, or when ``experiment`` is asked for. It stays open after a fit, so
    that a test can follow, until ``logger.experiment.end()`` (which writes the archive) or the end of the program.

    Args:
        api_key: The account's key; default: what Comet finds in its settings.
        workspace: The workspace.
        project: The project.
        experiment_key: The experiment to go on with, or the key of a new one.
        mode: ``"get_or_create"`` (default), ``"get"`` (there must be one) or ``"create"``.
        online: False writes an archive and sends nothing; what Comet would ask the machine and its network about
            itself is then left out, unless ``log_env_details=True`` is passed.
        prefix: Put before every metric's name, with a dash.
        log_model: Send checkpoints. True: those that are left when a run ends well; ``"all"``: each as soon as it is
            saved.
        kwargs: For ``comet_ml.ExperimentConfig``: ``name``, ``tags``, ``offline_directory``, ...

    Raises:
        ModuleNotFoundError: ``comet_ml`` is not installed.

    Example::

        logger = CometLogger(project="digits", online=False, offline_directory="comet")
        trainer = Trainer(logger=logger)
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        workspace: str | None = None,
        project: str | None = None,
        experiment_key: str | None = None,
        mode: Literal["get_or_create", "get", "create"] | None = None,
        online: bool | None = None,
        prefix: str | None = None,
        log_model: LogModel = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix or "", log_model)
        check_installed("comet_ml", "comet")
        for old in [name for name in kwargs if name in OLD_ARGUMENTS]:
            rank_zero_deprecation(f"CometLogger({old}=...) is CometLogger({OLD_ARGUMENTS[old]}=...) today.", 2)
            kwargs[OLD_ARGUMENTS[old]] = kwargs.pop(old)
        if "project_name" in kwargs:
            rank_zero_deprecation("CometLogger(project_name=...) is CometLogger(project=...) today.", 2)
            project = kwargs.pop("project_name")
        if "offline" in kwargs:
            rank_zero_deprecation("CometLogger(offline=...) is CometLogger(online=...) today.", 2)
            online = not kwargs.pop("offline")
        if online is False:
            kwargs.setdefault("log_env_details", False)
        self._where = {"api_key": api_key, "workspace": workspace, "project": project, "mode": mode, "online": online}
        self._key = experiment_key
        self._config = kwargs

    @property
    def name(self) -> str | None:
        """The project."""
        return self._where["project"]  # type: ignore[return-value]

    @property
    def version(self) -> str | None:
        """The experiment's key; None before it has one."""
        return self._key

    @property
    def save_dir(self) -> str | None:
        """The folder of the archive; None if none was given."""
        return self._config.get("offline_directory")

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The ``comet_ml`` experiment."""
        if self._experiment is None:
            with starting(**COMET_OPT_OUT):
                comet = require("comet_ml", "comet")
                config = comet.ExperimentConfig(**self._config)
                self._experiment = comet.start(experiment_key=self._key, experiment_config=config, **self._where)
            self._key = self._experiment.get_key()
            self._experiment.log_other("Created from", "leyden")
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers; one named ``epoch`` is their epoch."""
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        epoch = row.pop("epoch", None)
        self.experiment.log_metrics(self.prefixed(row), step=step, epoch=None if epoch is None else int(epoch))

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace) -> None:
        """Record hyper-parameters, nested ones joined by ``/``."""
        flat = {name: plain_hparams(value) for name, value in flatten_hparams(params).items()}
        self.experiment.log_parameters(flat)

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Record the model as text."""
        self.experiment.set_model_graph(model)

    @rank_zero_only
    def save(self) -> None:
        """Hand over what waits in memory."""
        if self._experiment is not None:
            self._experiment.flush()

    def _log_checkpoint(self, saved: SavedCheckpoint) -> None:
        metadata = {**saved.metadata, "aliases": list(saved.aliases)}
        self.experiment.log_model("model", saved.path, metadata=plain_hparams(metadata), overwrite=True)
