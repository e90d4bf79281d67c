"""Hyper-parameters in YAML and CSV files, and the file system of a path."""

from __future__ import annotations

import csv
import os
from argparse import Namespace
from ast import literal_eval
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any

import yaml

from leyden.errors import bad_value
from leyden.utils.files import filesystem
from leyden.utils.rank import rank_zero_warn

PathLike = str | os.PathLike[str]


def get_filesystem(path: PathLike, **kwargs: Any) -> Any:
    """Return the fsspec file system of a path or URL.

    Args:
        path: A path or URL.
        kwargs: Options of that file system.

    Example:
        >>> get_filesystem("runs/last.ckpt").exists("/no such file")
        False
    """
    if not kwargs:
        return filesystem(path)[0]
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # slow to import

    return url_to_fs(os.fspath(path), **kwargs)[0]


def convert(val: str) -> Any:
    """Return the Python value that a text writes, or the text.

    Example:
        >>> convert("0.1"), convert("adam")
        (0.1, 'adam')
    """
    with suppress(ValueError, SyntaxError):
        return literal_eval(val)
    return val


def update_hparams(hparams: dict[str, Any], updates: Mapping[str, Any]) -> None:
    """Put new values into nested hyper-parameters, in place.

    Example:
        >>> hparams = {"optimizer": {"lr": 0.1}}
        >>> update_hparams(hparams, {"optimizer": {"momentum": 0.9}})
        >>> hparams
        {'optimizer': {'lr': 0.1, 'momentum': 0.9}}
    """
    for name, value in updates.items():
        if isinstance(value, Mapping) and isinstance(hparams.get(name), dict):
            update_hparams(hparams[name], value)
        else:
            hparams[name] = value


def save_hparams_to_yaml(
    config_yaml: PathLike, hparams: Mapping[str, Any] | Namespace, use_omegaconf: bool = True
) -> None:
    """Write hyper-parameters; what is no plain data is left out with a warning.

    Args:
        config_yaml: The file; its folder exists.
        hparams: A dict or Namespace.
        use_omegaconf: Has no effect: plain YAML is written.

    Raises:
        RuntimeError: There is no such folder.
        TypeError: ``hparams`` is neither a dict nor a Namespace.
    """
    entries = _entries(config_yaml, hparams)
    plain, dropped = {}, []
    for name, value in entries.items():
        try:
            yaml.safe_dump(value)
            plain[name] = value
        except yaml.YAMLError:
            dropped.append(name)
    if dropped:
        rank_zero_warn(f"YAML holds plain data: the hyper-parameters {dropped} are left out.", 2)
    with get_filesystem(config_yaml).open(os.fspath(config_yaml), "w", newline="") as file:
        yaml.safe_dump(plain, file, sort_keys=False)


def load_hparams_from_yaml(config_yaml: PathLike, use_omegaconf: bool = True) -> dict[str, Any]:
    """Read hyper-parameters; of a file that is not there none, with a warning. Plain data is read, nothing else.

    Args:
        config_yaml: The file.
        use_omegaconf: Has no effect: a dict is returned.
    """
    with _opened(config_yaml) as file:
        return {} if file is None else dict(yaml.load(file, _Loader) or {})  # noqa: S506  # it is a SafeLoader


def save_hparams_to_tags_csv(tags_csv: PathLike, hparams: Mapping[str, Any] | Namespace) -> None:
    """Write hyper-parameters as a table with the columns ``key`` and ``value``.

    Raises:
        RuntimeError: There is no such folder.
        TypeError: ``hparams`` is neither a dict nor a Namespace.
    """
    rows = [("key", "value"), *_entries(tags_csv, hparams).items()]
    with get_filesystem(tags_csv).open(os.fspath(tags_csv), "w", newline="") as file:
        csv.writer(file).writerows(rows)


def load_hparams_from_tags_csv(tags_csv: PathLike) -> dict[str, Any]:
    """Read what :func:`save_hparams_to_tags_csv` wrote; of a file that is not there nothing, with a warning."""
    with _opened(tags_csv) as file:
        return {} if file is None else {row["key"]: convert(row["value"]) for row in csv.DictReader(file)}


def read_hparams(path: PathLike) -> dict[str, Any]:
    """Read a ``.csv`` file with the columns ``key`` and ``value``, or a ``.yaml`` file.

    Raises:
        ValueError: It is no mapping of names to plain values.
    """
    with open(path, newline="") as file:
        if os.fspath(path).endswith(".csv"):
            return {row["key"]: convert(row["value"]) for row in csv.DictReader(file)}
        try:
            return dict(yaml.load(file, _Loader) or {})  # noqa: S506  # it is a SafeLoader
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise ValueError(f"`hparams_file` {str(path)!r} is no mapping of names to plain values: {error}") from error


class _Loader(yaml.SafeLoader):
    """Plain data only, and tuples as YAML writers for Python mark them."""


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", yaml.FullLoader.construct_python_tuple)  # type: ignore[type-var]


def _opened(path: PathLike) -> Any:
    store = get_filesystem(path)
    if store.exists(os.fspath(path)):
        return store.open(os.fspath(path), "r")
    rank_zero_warn(f"There is no file {os.fspath(path)!r}: no hyper-parameters are read.", 3)
    return nullcontext(None)


def _entries(path: PathLike, hparams: Any) -> dict[str, Any]:
    folder = os.path.dirname(os.fspath(path))
    if folder and not get_filesystem(path).isdir(folder):
        raise RuntimeError(f"There is no folder {folder!r} for {os.fspath(path)!r}. Fix: make it first.")
    if not isinstance(hparams, Namespace | Mapping):
        raise TypeError(bad_value("hparams", hparams, "a dict or a Namespace"))
    return dict(vars(hparams) if isinstance(hparams, Namespace) else hparams)
