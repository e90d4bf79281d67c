"""Out of memory: which error says so, and giving back what is not used."""

from __future__ import annotations

import gc

import torch


def is_cuda_out_of_memory(exception: BaseException) -> bool:
    """Return whether an error says that a GPU's memory is full."""
    text = str(exception)
    return isinstance(exception, RuntimeError) and "CUDA" in text and "out of memory" in text


def is_cudnn_snafu(exception: BaseException) -> bool:
    """Return whether an error is one that cuDNN raises when memory is short."""
    return isinstance(exception, RuntimeError) and "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED" in str(exception)


def is_out_of_cpu_memory(exception: BaseException) -> bool:
    """Return whether an error says that the machine's memory is full."""
    return isinstance(exception, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(exception)


def is_oom_error(exception: BaseException) -> bool:
    """Return whether an error says that memory is full.

    Example:
        >>> is_oom_error(RuntimeError("CUDA error: out of memory")), is_oom_error(RuntimeError("shape"))
        (True, False)
    """
    full = isinstance(exception, MemoryError | torch.OutOfMemoryError)
    return full or any(says(exception) for says in (is_cuda_out_of_memory, is_cudnn_snafu, is_out_of_cpu_memory))


def garbage_collection_cuda() -> None:
    """Collect garbage and give the GPU's unused memory back."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
