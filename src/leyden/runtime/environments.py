"""Who started this process, and which of how many it is."""

from __future__ import annotations

import os
import shlex
import sys
from typing import ClassVar

from leyden.errors import MisconfigurationException


class ClusterEnvironment:
    """What a launcher tells its processes; where it says nothing, the process is alone.

    Subclass it for a cluster of your own, set :attr:`variables` or override methods, and pass an instance in ``plugins``.

    Attributes:
        creates_processes_externally: Whether a launcher outside this program has started all processes.
        main_address: Host of the process with global rank 0.
        main_port: Port on which that process listens.
        variables: Method of this class -> environment variable in which the launcher gives the number.
        required: The environment variables by which the launcher is recognised.
    """

    creates_processes_externally: bool = False
    main_address: str = "127.0.0.1"
    main_port: int = 0
    variables: ClassVar[dict[str, str]] = {}
    required: ClassVar[tuple[str, ...]] = ()

    def world_size(self) -> int:
        """Return the number of processes."""
        return self._number("world_size", 1)

    def global_rank(self) -> int:
        """Return the number of this process among all."""
        return self._number("global_rank", 0)

    def local_rank(self) -> int:
        """Return the number of this process on its node."""
        return self._number("local_rank", 0)

    def node_rank(self) -> int:
        """Return the number of this node."""
        return self._number("node_rank", 0)

    def local_world_size(self) -> int | None:
        """Return the number of processes on this node, where the launcher tells."""
        return self._number("local_world_size", 0) or None

    @classmethod
    def detect(cls) -> bool:
        """Return whether this process runs in such an environment."""
        return all(os.environ.get(variable) for variable in cls.required)

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Check ``devices`` and ``num_nodes`` against what was launched.

        Raises:
            MisconfigurationException: Another number of processes is asked for than runs.
        """
        world_size, local = self.world_size(), self.local_world_size()
        if num_devices * num_nodes != world_size or (local is not None and num_devices != local):
            here = local or world_size
            text = f"`devices` and `num_nodes` ask for {num_devices} x {num_nodes} processes, but {world_size} run"
            accepted = f"devices={here} and num_nodes={world_size // here}"
            nodes = f"--nnodes={num_nodes} " if num_nodes > 1 else ""
            fix = f"torchrun {nodes}--nproc-per-node={num_devices} {shlex.join(sys.argv)}"
            raise MisconfigurationException(f"{text}. Accepted: {accepted}. Fix: write that, or run `{fix}`.")

    def _number(self, method: str, alone: int) -> int:
        return int(os.environ.get(self.variables.get(method, ""), alone))


class LightningEnvironment(ClusterEnvironment):
    """No launcher: this process is the only one."""


class TorchElasticEnvironment(ClusterEnvironment):
    """The variables that ``torchrun`` sets."""

    creates_processes_externally = True
    variables: ClassVar[dict[str, str]] = {
        "world_size": "WORLD_SIZE", "global_rank": "RANK", "local_rank": "LOCAL_RANK",
        "node_rank": "GROUP_RANK", "local_world_size": "LOCAL_WORLD_SIZE",
    }  # fmt: skip
    required = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

    def __init__(self) -> None:
        self.main_address = os.environ["MASTER_ADDR"]
        self.main_port = int(os.environ["MASTER_PORT"])


ENVIRONMENTS: tuple[type[ClusterEnvironment], ...] = (TorchElasticEnvironment, LightningEnvironment)
"""In the order in which they are tried; the last one always fits."""


def detect_environment() -> ClusterEnvironment:
    """Return the first of :data:`ENVIRONMENTS` that recognises itself."""
    return next(kind() for kind in ENVIRONMENTS if kind.detect())
