"""MLFlowLogger: MLflow, by default in an SQLite file."""

from __future__ import annotations

import os
import re
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from leyden.loggers.checkpoints import SavedCheckpoint
from leyden.loggers.dummy import rank_zero_experiment
from leyden.loggers.hparams import flatten_hparams, plain_hparams
from leyden.loggers.installed import check_installed, starting
from leyden.loggers.service import LogModel, ServiceLogger
from leyden.utils.optional import require
from leyden.utils.rank import rank_zero_only, rank_zero_warn

OPT_OUT = {"MLFLOW_DISABLE_TELEMETRY": "true"}
STATUS = {"success": "FINISHED", "finished": "FINISHED", "failed": "FAILED"}
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100  # what the server takes
REFUSED = re.compile(r"[^\w/. -]", re.ASCII)


class MLFlowLogger(ServiceLogger):
    """Logs to MLflow; by default to ``save_dir/mlflow.db``, shown by ``mlflow ui --backend-store-uri sqlite:///...``.

    MLflow refuses plain folders as a store today (``tracking_uri="file:./mlruns"``). The run starts when the Trainer
    sets up, or when ``experiment`` is asked for.

    Args:
        experiment_name: The experiment; it is made if there is none.
        run_name: What the run is called.
        tracking_uri: The server or store; default: the environment's ``MLFLOW_TRACKING_URI``, else an SQLite file.
        tags: The run's tags.
        save_dir: The folder of the SQLite file and its artifacts.
        log_model: Send checkpoints as artifacts, to ``model/checkpoints``. True: those that are left when a run ends
            well; ``"all"``: each as soon as it is saved.
        prefix: Put before every metric's name, with a dash.
        artifact_location: Where a new experiment keeps artifacts; default: the server's choice, or ``save_dir``.
        run_id: Go on with this run.
        synchronous: False sends metrics and parameters in the background; None: MLflow's own setting.

    Raises:
        ModuleNotFoundError: ``mlflow`` is not installed.

    Example::

        logger = MLFlowLogger("digits", tags={"data": "mnist"}, log_model=True)
        trainer = Trainer(logger=logger)
    """

    def __init__(
        self,
        experiment_name: str = "lightning_logs",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, Any] | None = None,
        save_dir: str | os.PathLike[str] | None = "./mlruns",
        log_model: LogModel = False,
        prefix: str = "",
        artifact_location: str | None = None,
        run_id: str | None = None,
        synchronous: bool | None = None,
    ) -> None:
        super().__init__(prefix, log_model)
        check_installed("mlflow", "mlflow")
        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._folder = None if uri else Path(save_dir or "./mlruns")
        self._tracking_uri = uri or f"sqlite:///{(self._folder or Path()).absolute().as_posix()}/mlflow.db"
        self._experiment_name = experiment_name
        self._experiment_id: str | None = None
        self._run_name = run_name
        self._run_id = run_id
        self._tags = tags or {}
        self._artifact_location = artifact_location
        self._options = {} if synchronous is None else {"synchronous": synchronous}

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The ``MlflowClient``; give its methods :attr:`run_id`."""
        if self._experiment is None:
            with starting(**OPT_OUT):
                client = require("mlflow.tracking", "mlflow").MlflowClient
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
            self._experiment = client(self._tracking_uri)
            self._start_run()
        return self._experiment

    def _start_run(self) -> None:
        client = self._experiment
        if self._run_id is not None:
            self._experiment_id = client.get_run(self._run_id).info.experiment_id
            return
        found = client.get_experiment_by_name(self._experiment_name)
        if found is not None:
            self._experiment_id = found.experiment_id
        else:
            location = self._artifact_location
            if location is None and self._folder is not None:
                location = (self._folder.absolute() / self._experiment_name).as_uri()
            self._experiment_id = client.create_experiment(self._experiment_name, artifact_location=location)
        tags = require("mlflow.tracking.context.registry", "mlflow").resolve_tags(self._tags)
        self._run_id = client.create_run(self._experiment_id, run_name=self._run_name, tags=tags).info.run_id

    @property
    def experiment_id(self) -> str | None:
        """The experiment's id, starting the run if need be."""
        _ = self.experiment
        return self._experiment_id

    @property
    def run_id(self) -> str | None:
        """The run's id, starting it if need be."""
        _ = self.experiment
        return self._run_id

    @property
    def name(self) -> str | None:
        """The experiment's id."""
        return self.experiment_id

    @property
    def version(self) -> str | None:
        """The run's id."""
        return self.run_id

    @property
    def save_dir(self) -> str | None:
        """The folder of the SQLite file; None with a store of your own."""
        return None if self._folder is None else str(self._folder)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers; texts are left out. What MLflow takes in no name (``@``, ``:``, ...) is left out of names."""
        entity = require("mlflow.entities", "mlflow").Metric
        now, numbers = int(time.time() * 1000), []
        for name, value in self.prefixed(metrics).items():
            if isinstance(value, str):
                rank_zero_warn(
                    f"MLflow records numbers only: the metric {name!r} with the value {value!r} is left out."
                )
                continue
            number = float(value.item() if isinstance(value, Tensor) else value)
            numbers.append(entity(_accepted(name), number, now, step or 0))
        for start in range(0, len(numbers), METRICS_PER_CALL):
            self.experiment.log_batch(self.run_id, numbers[start : start + METRICS_PER_CALL], **self._options)

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace) -> None:
        """Record hyper-parameters, nested ones joined by ``/``. MLflow does not let a run's parameters change."""
        entity = require("mlflow.entities", "mlflow").Param
        flat = flatten_hparams(params)
        listed = [entity(_accepted(name), str(plain_hparams(value))) for name, value in flat.items()]
        for start in range(0, len(listed), PARAMS_PER_CALL):
            self.experiment.log_batch(self.run_id, params=listed[start : start + PARAMS_PER_CALL], **self._options)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Send the checkpoints that are due, and close the run; a later call of the Trainer adds to it."""
        if self._experiment is not None:
            super().finalize(status)
            self._experiment.set_terminated(self._run_id, STATUS.get(status, "FINISHED"))

    def _log_checkpoint(self, saved: SavedCheckpoint) -> None:
        import yaml

        name = os.path.basename(saved.path)
        target = f"model/checkpoints/{os.path.splitext(name)[0]}"
        if os.path.isdir(saved.path):
            self.experiment.log_artifacts(self.run_id, saved.path, f"{target}/{name}")
        else:
            self.experiment.log_artifact(self.run_id, saved.path, target)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "metadata.yaml").write_text(yaml.safe_dump(plain_hparams(saved.metadata), sort_keys=False))
            Path(folder, "aliases.txt").write_text("\n".join(saved.aliases))
            self.experiment.log_artifacts(self.run_id, folder, target)


def _accepted(name: str) -> str:
    """A name without the characters that MLflow refuses, with a warning if there are some."""
    accepted = REFUSED.sub("", name)
    if accepted != name:
        rank_zero_warn(f"MLflow takes letters, digits and `_/. -` in a name: {name!r} is recorded as {accepted!r}.")
    return accepted
