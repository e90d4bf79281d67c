"""``python -m leyden.cli.fabric run SCRIPT``: a Fabric program on several devices, without naming them in the program."""

from __future__ import annotations

import argparse
import os
import sys

import torch

from leyden.legacy.launcher import MARK, PREFIX

__all__ = ["main"]

_HANDED_ON = ("accelerator", "strategy", "devices", "num_nodes", "precision")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; what follows the script is the script's own."""
    parser = argparse.ArgumentParser("python -m leyden.cli.fabric", description="Run programs that use Fabric.")
    run = parser.add_subparsers(required=True).add_parser("run", help="start a program, once per device")
    run.add_argument("--accelerator", help="the kind of device: cpu, gpu, cuda, mps")
    run.add_argument("--strategy", help="how the processes work together: ddp, ...")
    run.add_argument("--devices", default="1", help="how many devices per host, which (0,1), or auto")
    run.add_argument("--num-nodes", type=int, default=1, help="the number of hosts")
    run.add_argument("--node-rank", type=int, default=0, help="the number of this host, from 0")
    run.add_argument("--main-address", default="127.0.0.1", help="the host with number 0")
    run.add_argument("--main-port", type=int, default=29400, help="a free port on that host")
    run.add_argument("--precision", help="the number format: 32-true, bf16-mixed, ...")
    run.add_argument("script", help="the program")
    run.add_argument("script_arguments", nargs=argparse.REMAINDER, help="its arguments")
    options = parser.parse_args(arguments)
    options.processes = count(options.devices)
    if options.processes < 1:
        run.error(f"--devices {options.devices}: give a number such as 2, ids such as 0,1 or auto")
    return options


def count(devices: str) -> int:
    """Return how many processes ``--devices`` asks for on this host; 0 for what cannot be read."""
    if devices == "auto":
        return max(1, torch.accelerator.device_count())
    ids = [text for text in devices.split(",") if text]
    if not all(text.isdecimal() for text in ids):
        return 0
    return len(ids) if "," in devices else int(devices or 0)


def main(arguments: list[str] | None = None) -> None:
    """Start the program with ``torch.distributed.run`` and hand the options on to its ``Fabric()``.

    Args:
        arguments: The command line after the program's name; default: ``sys.argv[1:]``.
    """
    from torch.distributed.run import main as start

    options = parse(sys.argv[1:] if arguments is None else arguments)
    os.environ[MARK] = "1"
    for name in _HANDED_ON:
        if (value := getattr(options, name)) is not None:
            os.environ[PREFIX + name.upper()] = str(value)
    start(
        [
            f"--nproc-per-node={options.processes}",
            f"--nnodes={options.num_nodes}",
            f"--node-rank={options.node_rank}",
            f"--master-addr={options.main_address}",
            f"--master-port={options.main_port}",
            options.script,
            *options.script_arguments,
        ]
    )


if __name__ == "__main__":
    main()
