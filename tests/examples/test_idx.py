from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.append(str(Path(__file__).parents[2] / "examples"))

from idx import find_idx, read_idx


def write_idx(path: Path, values: Tensor, kind: int = 8) -> Path:
    """Write values as an IDX file, by the format's description: type, number of dimensions, sizes, big-endian values."""
    header = struct.pack(f">HBB{values.dim()}I", 0, kind, values.dim(), *values.shape)
    array = values.numpy()
    content = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(8, torch.uint8), (9, torch.int8), (11, torch.int16), (12, torch.int32), (13, torch.float32), (14, torch.float64)],
)
@pytest.mark.parametrize("name", ["values", "values.gz"])
def test_what_was_written_is_read(tmp_path: Path, kind: int, dtype: torch.dtype, name: str) -> None:
    values = torch.arange(24).reshape(2, 3, 4).to(dtype)
    read = read_idx(write_idx(tmp_path / name, values, kind))
    assert read.dtype == dtype
    assert torch.equal(read, values)


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"PK\x03\x04", b"\x00\x00\x08\x03\x00", b"\x00\x00\x63\x01\x00\x00\x00\x00"]
)
def test_what_is_no_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no IDX file"):
        read_idx(path)


@pytest.mark.parametrize("cut", [-1, 20])
def test_a_file_of_another_length_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_idx(tmp_path / "file", torch.zeros(5, 5, dtype=torch.uint8))
    path.write_bytes((path.read_bytes() + bytes(40))[:cut])
    with pytest.raises(ValueError, match="its header says 37"):
        read_idx(path)


def test_a_cut_gzip_file_is_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "file.gz", torch.zeros(5, 5, dtype=torch.uint8))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="is damaged"):
        read_idx(path)


@pytest.mark.parametrize(
    "place", ["images-idx3-ubyte", "images.idx3-ubyte", "images-idx3-ubyte.gz", "MNIST/raw/images-idx3-ubyte"]
)
def test_files_are_found_under_their_spellings(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert find_idx(tmp_path, "images-idx3-ubyte") == path
    assert find_idx(tmp_path, "labels-idx1-ubyte") is None
