"""Who started this process, and which of how many it is."""

from __future__ import annotations

import os

from leyden.errors import MisconfigurationException


class ClusterEnvironment:
    """What a launcher tells its processes; the base answers for a process that is alone.

    Subclass it for a cluster of your own and pass an instance in ``plugins``.

    Attributes:
        creates_processes_externally: Whether a launcher outside this program has started all processes.
        main_address: Host of the process with global rank 0.
        main_port: Port on which that process listens.
    """

    creates_processes_externally: bool = False
    main_address: str = "127.0.0.1"
    main_port: int = 0

    def world_size(self) -> int:
        """Return the number of processes."""
        return 1

    def global_rank(self) -> int:
        """Return the number of this process among all."""
        return 0

    def local_rank(self) -> int:
        """Return the number of this process on its node."""
        return 0

    def node_rank(self) -> int:
        """Return the number of this node."""
        return 0

    def local_world_size(self) -> int | None:
        """Return the number of processes on this node, where the launcher tells."""
        return None

    @staticmethod
    def detect() -> bool:
        """Return whether this process runs in such an environment."""
        return False

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Check ``devices`` and ``num_nodes`` against what was launched.

        Raises:
            MisconfigurationException: Another number of processes is asked for than was started.
        """
        local, world_size = self.local_world_size(), self.world_size()
        if num_devices * num_nodes != world_size or num_devices != (local or num_devices):
            here = local or world_size
            raise MisconfigurationException(
                f"`devices` and `num_nodes` ask for {num_devices} x {num_nodes} process(es), but the launcher started "
                f"{world_size}, {here} of them on this node. Accepted: devices={here} and num_nodes={world_size // here}. "
                "Fix: write that, or change the launcher's --nproc-per-node and --nnodes."
            )


class LightningEnvironment(ClusterEnvironment):
    """No launcher: this process is the only one."""


class TorchElasticEnvironment(ClusterEnvironment):
    """The variables that ``torchrun`` sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT."""

    creates_processes_externally = True
    variables = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

    def __init__(self) -> None:
        self.main_address = os.environ["MASTER_ADDR"]
        self.main_port = int(os.environ["MASTER_PORT"])

    def world_size(self) -> int:
        return int(os.environ["WORLD_SIZE"])

    def global_rank(self) -> int:
        return int(os.environ["RANK"])

    def local_rank(self) -> int:
        return int(os.environ["LOCAL_RANK"])

    def node_rank(self) -> int:
        return int(os.environ.get("GROUP_RANK", "0"))

    def local_world_size(self) -> int | None:
        return int(os.environ.get("LOCAL_WORLD_SIZE", "0")) or None

    @staticmethod
    def detect() -> bool:
        return all(os.environ.get(name) for name in TorchElasticEnvironment.variables)


ENVIRONMENTS: tuple[type[ClusterEnvironment], ...] = (TorchElasticEnvironment,)
"""In the order in which they are tried."""


def detect_environment() -> ClusterEnvironment:
    """Return the first of :data:`ENVIRONMENTS` that recognises itself, else the one without a launcher."""
    return next((kind() for kind in ENVIRONMENTS if kind.detect()), LightningEnvironment())
