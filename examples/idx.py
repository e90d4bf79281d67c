"""A reader for IDX files, the format of the original MNIST data: a header with type and shape, then the values."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: str | Path) -> Tensor:
    """Read an IDX file, plain or compressed by gzip.

    Args:
        path: The file; whether it is compressed is seen from its first bytes, not from its name.

    Returns:
        The values in the shape that the header gives; bytes stay bytes (``torch.uint8``).

    Raises:
        ValueError: It is no IDX file, or its length is not what the header says.
    """
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError) as error:
            raise ValueError(f"{path} is damaged: {error}. Get the file again.") from error
    zeros, kind, dimensions = struct.unpack_from(">HBB", content.ljust(4, b"\xff"))
    start = 4 + 4 * dimensions
    if zeros != 0 or kind not in _TYPES or len(content) < start:
        raise ValueError(f"{path} is no IDX file: it begins with {content[:4].hex(' ') or 'nothing'}.")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    dtype = np.dtype(_TYPES[kind])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(f"{path} has {len(content)} bytes, its header says {expected}. Get the file again.")
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return torch.from_numpy(values.astype(dtype.newbyteorder("=")))


def find_idx(folder: str | Path, name: str) -> Path | None:
    """Return the file of this name in a folder, under any of the spellings in use, or None.

    Args:
        folder: Where to look; also in ``MNIST/raw`` below it, where torchvision puts the files.
        name: Such as ``"train-images-idx3-ubyte"``; ``train-images.idx3-ubyte`` and ``.gz`` are found too.
    """
    for place in (Path(folder), Path(folder) / "MNIST" / "raw"):
        for spelling in (name, name.replace("-idx", ".idx")):
            for ending in ("", ".gz"):
                path = place / f"{spelling}{ending}"
                if path.is_file():
                    return path
    return None
