"""CSVLogger: metrics in a CSV file, hyperparameters in a YAML file, in one folder per version."""

from __future__ import annotations

import csv
import io
import itertools
import os
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from leyden.errors import bad_value
from leyden.loggers.dummy import rank_zero_experiment
from leyden.loggers.folders import HPARAMS_FILE, FolderLogger, join, write_hparams
from leyden.loggers.hparams import convert_hparams
from leyden.utils.files import atomic_write, filesystem, is_local
from leyden.utils.rank import rank_zero_only, rank_zero_warn


class ExperimentWriter:
    """Writes ``metrics.csv`` and ``hparams.yaml`` in a folder.

    Rows wait in memory until :meth:`save` appends them, so a row costs the same however long the file is. The file is
    rewritten (atomically) only when a new column appears. A ``metrics.csv`` of an earlier run is removed, with a
    warning, when the first rows are saved, unless :meth:`truncate` took it over.

    Args:
        log_dir: The folder, a local path or a URL; it is made here, which claims the version.
    """

    NAME_HPARAMS_FILE = HPARAMS_FILE
    NAME_METRICS_FILE = "metrics.csv"

    def __init__(self, log_dir: str) -> None:
        self.log_dir = log_dir
        self.hparams: dict[str, Any] = {}
        self.metrics: list[dict[str, Any]] = []
        """The rows that are not yet in the file."""
        self.columns: list[str] = []
        """The columns of the file."""
        self.metrics_file_path = join(log_dir, self.NAME_METRICS_FILE)
        self._rows_saved = 0
        self._owns_file = False
        store, name = filesystem(log_dir)
        store.makedirs(name, exist_ok=True)

    @property
    def rows_written(self) -> int:
        """The number of rows logged so far, saved or not."""
        return self._rows_saved + len(self.metrics)

    def log_hparams(self, params: Mapping[str, Any]) -> None:
        """Add hyperparameters and write them all."""
        self.hparams.update(params)
        write_hparams(self.log_dir, self.hparams)

    def log_metrics(self, metrics_dict: Mapping[str, Any], step: int | None = None) -> None:
        """Record a row; its column ``step`` holds ``step``, or the number of rows before it when that is None."""
        row = {key: value.item() if isinstance(value, Tensor) else value for key, value in metrics_dict.items()}
        row["step"] = self.rows_written if step is None else step
        epoch = row.get("epoch")
        if type(epoch) is float and epoch.is_integer():
            row["epoch"] = int(epoch)
        self.metrics.append(row)

    def save(self) -> None:
        """Append the recorded rows to the file."""
        if not self.metrics:
            return
        rows, self.metrics = self.metrics, []
        if not self._owns_file:
            self._remove_older()
        known = set(self.columns)
        if added := {key for row in rows for key in row} - known:
            self.columns = sorted(known | added)
            self._rewrite(self._rows_saved, rows)
        else:
            _append(self.metrics_file_path, self.columns, rows)
        self._rows_saved += len(rows)

    def truncate(self, rows: int) -> int:
        """Keep the first ``rows`` rows and continue after them, also in a file of an earlier run.

        Returns:
            The number of rows that were there to be kept.
        """
        self.save()
        self._owns_file, self._rows_saved, self.columns = True, 0, []
        store, name = filesystem(self.metrics_file_path)
        if rows > 0 and store.exists(name):
            with _open_text(self.metrics_file_path) as file:
                self.columns = next(csv.reader(file), [])
            self._rows_saved = self._rewrite(rows)
        else:
            _remove(self.metrics_file_path)
        return self._rows_saved

    def _remove_older(self) -> None:
        self._owns_file = True
        if _remove(self.metrics_file_path):
            rank_zero_warn(
                f"{self.metrics_file_path} of an earlier run was removed, because this run logs under the same version."
                " Leave `version` out, or choose another, to keep both."
            )

    def _rewrite(self, keep: int, rows: Iterable[Mapping[str, Any]] = ()) -> int:
        """Write the file anew under ``self.columns``: the first ``keep`` rows it has, then ``rows``; return the kept."""
        kept = 0
        with atomic_write(self.metrics_file_path) as binary:
            text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
            writer = csv.DictWriter(text, self.columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            if keep:
                with _open_text(self.metrics_file_path) as file:
                    for row in itertools.islice(csv.DictReader(file), keep):
                        writer.writerow(row)
                        kept += 1
            writer.writerows(rows)
            text.detach()  # flushes; the file is closed by its owner
        return kept


class CSVLogger(FolderLogger):
    """Logs to ``save_dir/name/version_N/metrics.csv`` and ``hparams.yaml``.

    Nothing is made on disk before the first value is logged (or ``experiment`` is asked for).

    Args:
        save_dir: The folder (or URL) under which everything lies.
        name: A folder in it; None or ``""``: none.
        version: The version; None: one more than the highest ``version_N`` there. A str is the folder's whole name.
        prefix: Put before every metric's name, with a dash.
        flush_logs_every_n_steps: How many steps, or rows, may be lost when the process is killed. Rows are also
            written when the Trainer saves or ends.

    Raises:
        ValueError: ``flush_logs_every_n_steps`` is no int >= 1.

    Example:
        >>> import pathlib, tempfile
        >>> logger = CSVLogger(tempfile.mkdtemp(), name="digits")
        >>> logger.log_metrics({"loss": 0.5}, step=0)
        >>> logger.save()
        >>> pathlib.Path(logger.log_dir, "metrics.csv").read_text().split()
        ['loss,step', '0.5,0']
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        every = flush_logs_every_n_steps
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(bad_value("flush_logs_every_n_steps", every, "an int >= 1"))
        super().__init__(save_dir, name, version, prefix)
        self._flush_every = every
        self._experiment: ExperimentWriter | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The object that writes the files; asking for it makes the folder."""
        if self._experiment is None:
            self._experiment = ExperimentWriter(self.log_dir)
        return self._experiment

    @property
    def rows_written(self) -> int:
        """The number of rows logged so far, saved or not; after :meth:`truncate` including the kept ones."""
        return 0 if self._experiment is None else self._experiment.rows_written

    def truncate(self, rows: int) -> None:
        """Continue the version's ``metrics.csv`` after its first ``rows`` rows instead of starting it anew."""
        self.experiment.truncate(rows)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record a row of numbers; tensors must have one element and are read at once."""
        writer = self._experiment
        if writer is None and not isinstance(writer := self.experiment, ExperimentWriter):
            return  # another rank
        writer.log_metrics(self.prefixed(metrics), step)
        if (step is not None and (step + 1) % self._flush_every == 0) or len(writer.metrics) >= self._flush_every:
            writer.save()

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any] | Namespace | None = None) -> None:
        """Write hyperparameters to ``hparams.yaml``, added to those written before."""
        self.experiment.log_hparams(convert_hparams(params))

    def save(self) -> None:
        """Write the recorded rows."""
        if self._experiment is not None:
            self._experiment.save()

    def finalize(self, status: str) -> None:
        """Write the recorded rows; makes nothing when nothing was logged."""
        self.save()


def _open_text(path: str) -> Any:
    store, name = filesystem(path)
    return store.open(name, "r", newline="", encoding="utf-8")


def _append(path: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([row.get(column, "") for column in columns] for row in rows)
    data = text.getvalue().encode()
    store, name = filesystem(path)
    if is_local(path):
        with store.open(name, "ab") as file:
            file.write(data)
    else:  # object stores cannot append: the whole object is sent again
        with atomic_write(path) as file:
            file.write(store.cat_file(name) + data)


def _remove(path: str) -> bool:
    """Remove a file; return whether it was there."""
    store, name = filesystem(path)
    present = bool(store.exists(name))
    if present:
        store.rm_file(name)
    return present
