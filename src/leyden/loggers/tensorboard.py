"""TensorBoardLogger: event files for TensorBoard, hyper-parameters beside them."""

from __future__ import annotations

import os
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from leyden.errors import bad_value
from leyden.loggers.dummy import rank_zero_experiment
from leyden.loggers.folders import HPARAMS_FILE, FolderLogger, join, write_hparams
from leyden.loggers.hparams import convert_hparams, flatten_hparams, plain_hparams
from leyden.loggers.installed import COMET_OPT_OUT, check_installed, is_installed, starting
from leyden.utils.optional import require
from leyden.utils.rank import rank_zero_only, rank_zero_warn
from leyden.utils.seed import isolate_rng
from leyden.utils.tree import move_to_device


class TensorBoardLogger(FolderLogger):
    """Logs to event files in ``save_dir/name/version_N``; look at them with ``tensorboard --logdir lightning_logs``.

    It is the Trainer's default logger where ``tensorboard`` is installed. Event files are only ever appended to: a run
    that logs again under a version whose files go further makes TensorBoard show both lines, unless ``purge_step=n``
    tells it to forget what was logged from step ``n`` on.

    Args:
        save_dir: The folder (or URL) under which everything lies; ``~`` and ``$NAME`` are replaced in a local one.
        name: A folder in it; None or ``""``: none.
        version: The version; None: one more than the highest ``version_N`` there. A str is the folder's whole name.
        log_graph: Draw the model when fit begins; it needs an ``example_input_array``.
        default_hp_metric: Log ``hp_metric = -1`` with hyper-parameters that come without metrics; TensorBoard lists
            hyper-parameters only beside a metric.
        prefix: Put before every metric's name, with a dash.
        sub_dir: A folder in that of the version.
        kwargs: For ``torch.utils.tensorboard.SummaryWriter``: ``max_queue``, ``flush_secs``, ``purge_step``, ...

    Raises:
        ModuleNotFoundError: Neither ``tensorboard`` nor ``tensorboardX`` is installed.

    Example:
        >>> import tempfile
        >>> logger = TensorBoardLogger(tempfile.mkdtemp(), name="digits")
        >>> logger.log_metrics({"loss": 0.5}, step=0)
        >>> logger.experiment.add_text("note", "warm start")
        >>> logger.finalize("success")
        >>> [name.partition(".tfevents")[0] for name in os.listdir(logger.log_dir)]
        ['events.out']
    """

    NAME_HPARAMS_FILE = HPARAMS_FILE

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        log_graph: bool = False,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        self._sub_dir = None if sub_dir is None else os.path.expanduser(os.path.expandvars(os.fspath(sub_dir)))
        self._log_graph = log_graph
        self._default_hp_metric = default_hp_metric
        self._kwargs = kwargs
        self.hparams: dict[str, Any] = {}
        self._experiment: Any = None
        if not is_installed("tensorboardX"):
            check_installed("tensorboard", "tensorboard")

    @property
    def sub_dir(self) -> str | None:
        """The folder given as ``sub_dir``."""
        return self._sub_dir

    @property
    def log_dir(self) -> str:
        """``save_dir/name/version_N``, and ``sub_dir`` in it."""
        folder = super().log_dir
        return join(folder, self._sub_dir) if self._sub_dir else folder

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The ``SummaryWriter``, for ``add_image``, ``add_histogram`` and its other methods."""
        if self._experiment is None:
            self._experiment = _writers().SummaryWriter(log_dir=self.log_dir, **self._kwargs)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers; a dict of numbers becomes lines in one chart.

        Raises:
            ValueError: A value is neither a number nor a dict of numbers.
        """
        for name, value in self.prefixed(metrics).items():
            if isinstance(value, Mapping):
                self.experiment.add_scalars(name, value, step)
                continue
            try:
                self.experiment.add_scalar(name, value.item() if isinstance(value, Tensor) else value, step)
            except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
                raise ValueError(bad_value(name, value, "a number, a tensor of one, or a dict of them")) from error

    @rank_zero_only
    def log_hyperparams(
        self,
        params: Mapping[str, Any] | Namespace | None = None,
        metrics: Mapping[str, Any] | float | None = None,
        step: int | None = None,
    ) -> None:
        """Write hyper-parameters to ``hparams.yaml`` and to TensorBoard's page of them.

        Args:
            params: The hyper-parameters; nested ones are joined by ``/``.
            metrics: What to compare runs by, at first with these values (a number: ``hp_metric``); log it later under
                the same name. None: ``hp_metric = -1``, or with ``default_hp_metric=False`` only the file is written.
            step: The step of ``metrics``.
        """
        self.hparams.update(convert_hparams(params))
        writer = self.experiment
        write_hparams(self.log_dir, self.hparams)
        if metrics is None:
            metrics = -1 if self._default_hp_metric else {}
        if not isinstance(metrics, Mapping):
            metrics = {"hp_metric": metrics}
        if metrics:
            step = 0 if step is None else step
            self.log_metrics(metrics, step)
            hparams = {name: _listed_value(value) for name, value in flatten_hparams(params).items()}
            for summary in _writers(".summary").hparams(hparams, dict(self.prefixed(metrics))):
                writer.file_writer.add_summary(summary, step)

    @rank_zero_only
    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Record the model's graph, if the logger was made with ``log_graph=True``; a graph that fails is a warning.

        The model is left as it is: modes and random states are put back.

        Args:
            model: The module.
            input_array: What it is called with, a tensor or a tuple; default: its ``example_input_array``.
        """
        if not self._log_graph:
            return
        example = getattr(model, "example_input_array", None) if input_array is None else input_array
        if example is None:
            rank_zero_warn("The graph is not logged. Fix: set `example_input_array` on the module, or log_graph=False.")
            return
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        try:
            with _evaluating(model), isolate_rng(), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about tracing as such
                self.experiment.add_graph(model, move_to_device(example, device))
        except Exception as error:  # noqa: BLE001  # a picture must not end a run
            rank_zero_warn(f"The graph is not logged: tracing the model failed with {type(error).__name__}: {error}")

    def save(self) -> None:
        """Write out what waits in memory."""
        if self._experiment is not None:
            self._experiment.flush()

    def finalize(self, status: str) -> None:
        """Write out what waits and close the file; what is logged later goes to another one in the same folder."""
        if self._experiment is not None:
            self._experiment.flush()
            self._experiment.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_experiment": None}  # threads and open files stay here


def _writers(part: str = "") -> ModuleType:
    """TensorBoard's own writers, or those of tensorboardX, which have the same methods."""
    package = "torch.utils.tensorboard" if is_installed("tensorboard") else "tensorboardX"
    with starting(**COMET_OPT_OUT):
        return require(package + part, "tensorboard")


def _listed_value(value: Any) -> bool | int | float | str:
    """A hyper-parameter as TensorBoard lists it."""
    plain = plain_hparams(value)
    return plain if isinstance(plain, (bool, int, float, str)) else str(plain)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode, and each module of it back in its own."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
