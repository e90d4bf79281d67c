"""Which checkpoints are the best: scores by path, lower or higher being better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def worst_score(mode: str) -> Tensor:
    """Return the value that every other one beats."""
    return torch.tensor(math.inf if mode == "min" else -math.inf)


def score_of(value: Any, mode: str) -> Tensor:
    """Return a logged value as a scalar tensor on the CPU; NaN becomes the worst."""
    score = torch.as_tensor(value).detach().clone().cpu().squeeze()
    return worst_score(mode) if torch.isnan(score) else score


def ranked(scores: Mapping[str, Tensor], mode: str) -> list[str]:
    """Return the paths from the best to the worst; of equal ones the oldest is the worst.

    Example:
        >>> ranked({"a": torch.tensor(2.0), "b": torch.tensor(1.0), "c": torch.tensor(2.0)}, "min")
        ['b', 'c', 'a']
    """
    newest_first = list(scores)[::-1]
    return sorted(newest_first, key=lambda path: scores[path].item(), reverse=mode == "max")


def best_of(scores: Mapping[str, Tensor], mode: str) -> str:
    """Return the path with the best score; of equal ones the oldest."""
    return (min if mode == "min" else max)(scores, key=lambda path: scores[path].item())
