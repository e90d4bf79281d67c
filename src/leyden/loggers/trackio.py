"""TrackioLogger: Trackio, in an SQLite file of its own."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from leyden.loggers.checkpoints import SavedCheckpoint
from leyden.loggers.dummy import rank_zero_experiment
from leyden.loggers.hparams import convert_hparams, plain_hparams
from leyden.loggers.installed import check_installed, starting
from leyden.loggers.service import LogModel, ServiceLogger
from leyden.utils.optional import require
from leyden.utils.rank import rank_zero_only

OPT_OUT = {"HF_HUB_DISABLE_TELEMETRY": "1"}


class TrackioLogger(ServiceLogger):
    """Logs to Trackio: an SQLite file in the folder ``TRACKIO_DIR`` of the environment, shown by ``trackio show``.

    Nothing leaves the machine unless ``space_id`` or ``server_url`` is passed. The run starts when the Trainer sets
    up, or when ``experiment`` is asked for; it is written out and closed when a fit ends, and opened again by the next
    call of the Trainer.

    Args:
        project: The project.
        name: What the run is called; default: a name that Trackio makes up.
        prefix: Put before every metric's name, with a dash.
        log_model: Keep checkpoints as artifacts. True: those that are left when a run ends well; ``"all"``: each as
            soon as it is saved.
        kwargs: For ``trackio.init``: ``group``, ``resume``, ``space_id``, ``embed`` (default False), ...

    Raises:
        ModuleNotFoundError: ``trackio`` is not installed.

    Example::

        logger = TrackioLogger("digits")
        trainer = Trainer(logger=logger)
    """

    def __init__(
        self,
        project: str = "lightning_logs",
        name: str | None = None,
        prefix: str = "",
        log_model: LogModel = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, log_model)
        check_installed("trackio", "trackio")
        self._project = project
        self._run = name
        self._hparams: dict[str, Any] = {}
        self._init: dict[str, Any] = {"embed": False, **kwargs}

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str | None:
        """The run's name; None before it has one."""
        return self._run

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The ``trackio.Run``."""
        if self._experiment is None:
            with starting(**OPT_OUT):
                trackio = require("trackio", "trackio")
                init = {**self._init, "config": {**self._init.get("config", {}), **self._hparams}}
                self._experiment = trackio.init(project=self._project, name=self._run, **init)
            self._run = self._experiment.name
            self._init["resume"] = "must"
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record values."""
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        self.experiment.log(self.prefixed(row), step=step)

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace) -> None:
        """Add hyper-parameters to the run's config, which Trackio writes with the first metrics."""
        self._hparams.update(plain_hparams(convert_hparams(params)))
        self.experiment.config.update(self._hparams)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Keep the checkpoints that are due, write out what waits, and close the run."""
        if self._experiment is not None:
            super().finalize(status)
            self._experiment.finish()
            self._experiment = None

    def _log_checkpoint(self, saved: SavedCheckpoint) -> None:
        artifact = require("trackio", "trackio").Artifact(
            name=f"model-{self._run}", type="model", metadata=plain_hparams(saved.metadata)
        )
        if os.path.isdir(saved.path):
            artifact.add_dir(saved.path, name="model.ckpt")
        else:
            artifact.add_file(saved.path, name="model.ckpt")
        self.experiment.log_artifact(artifact, aliases=list(saved.aliases))
