from __future__ import annotations

import pytest
import torch

from leyden.legacy.utilities.memory import (
    garbage_collection_cuda,
    is_cuda_out_of_memory,
    is_cudnn_snafu,
    is_oom_error,
    is_out_of_cpu_memory,
)


@pytest.mark.parametrize(
    ("error", "oom"),
    [
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. x"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: x"), True),
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_what_says_that_memory_is_full(error: BaseException, oom: bool) -> None:
    assert is_oom_error(error) is oom


def test_each_kind_knows_its_own() -> None:
    assert is_cuda_out_of_memory(RuntimeError("CUDA out of memory")) and not is_cuda_out_of_memory(RuntimeError("x"))
    assert not is_cudnn_snafu(RuntimeError("x")) and not is_out_of_cpu_memory(RuntimeError("x"))


def test_collecting_needs_no_gpu() -> None:
    garbage_collection_cuda()
