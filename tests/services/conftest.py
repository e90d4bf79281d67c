"""These tests run against the services' own packages, offline: `make services`."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_TRACKIO = tempfile.TemporaryDirectory(prefix="leyden-trackio-")
os.environ["TRACKIO_DIR"] = _TRACKIO.name  # Trackio reads it once, when it is imported

LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing may leave the machine, nor try to, also where a library would swallow the error."""
    attempts = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def checked_connect(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and isinstance(address, tuple) and address[0] not in LOCAL:
            attempts.append(address)
            raise OSError(f"connection to {address}")
        connect(self, address)  # type: ignore[arg-type]

    def checked_resolve(host: object, *arguments: object, **keywords: object) -> object:
        if host not in (*LOCAL, None, socket.gethostname()):
            attempts.append(host)
            raise OSError(f"look-up of {host}")
        return resolve(host, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", checked_connect)
    monkeypatch.setattr(socket, "getaddrinfo", checked_resolve)
    yield
    assert attempts == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one library says about its use of another is not ours to change."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))


@pytest.fixture(autouse=True)
def folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a library keeps outside the folder that it is given."""
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_PROJECT", "WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
