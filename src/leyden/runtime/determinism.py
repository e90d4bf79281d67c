"""Deterministic algorithms and cuDNN's autotuner, set for a run and put back after it."""

from __future__ import annotations

import os
from collections.abc import Callable

import torch

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def apply_determinism(deterministic: bool | str | None, benchmark: bool | None) -> Callable[[], None]:
    """Set what the arguments ask for and return a function that restores the state before.

    Args:
        deterministic: True: only deterministic algorithms, an operation without one raises; "warn": it warns;
            False: any algorithm; None: as the session has it. With True and "warn" cuBLAS gets a fixed workspace
            (the variable ``CUBLAS_WORKSPACE_CONFIG``, unless it is set already).
        benchmark: Whether cuDNN tries algorithms and keeps the fastest; None: as the session has it, but off where
            ``deterministic`` asks for determinism.

    Example:
        >>> restore = apply_determinism("warn", None)
        >>> torch.is_deterministic_algorithms_warn_only_enabled()
        True
        >>> restore()
    """
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn_benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get(_CUBLAS)

    def restore() -> None:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        torch.backends.cudnn.benchmark = cudnn_benchmark
        if workspace is None:
            os.environ.pop(_CUBLAS, None)
        else:
            os.environ[_CUBLAS] = workspace

    if deterministic is not None:
        torch.use_deterministic_algorithms(bool(deterministic), warn_only=deterministic == "warn")
    if deterministic:
        os.environ.setdefault(_CUBLAS, ":4096:8")
    if benchmark is not None or deterministic:
        torch.backends.cudnn.benchmark = bool(benchmark)
    return restore
