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
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn_benchmark = torch.backends.cudnn.benchmark
    adds_workspace = bool(deterministic) and _CUBLAS not in os.environ

    def restore() -> None:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        torch.backends.cudnn.benchmark = cudnn_benchmark
        if adds_workspace:
            os.environ.pop(_CUBLAS, None)

    if adds_workspace:
        os.environ[_CUBLAS] = ":4096:8"
    if deterministic is not None:
        torch.use_deterministic_algorithms(bool(deterministic), warn_only=deterministic == "warn")
    if benchmark is not None or deterministic:
        torch.backends.cudnn.benchmark = bool(benchmark)
    return restore
