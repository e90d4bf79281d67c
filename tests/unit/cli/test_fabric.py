"""``python -m leyden.cli.fabric run``: the options reach Fabric, the rest the program."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from leyden.cli.fabric import count, parse

PROGRAM = Path(__file__).parents[3] / "examples" / "fabric_loop.py"


def test_what_follows_the_script_is_its_own():
    options = parse(["run", "--devices", "2", "--precision=64-true", "a.py", "--devices", "9", "x"])
    assert (options.script, options.script_arguments) == ("a.py", ["--devices", "9", "x"])
    assert (options.devices, options.processes, options.precision, options.strategy) == ("2", 2, "64-true", None)
    assert (options.num_nodes, options.node_rank, options.main_address, options.main_port) == (1, 0, "127.0.0.1", 29400)


@pytest.mark.parametrize(("devices", "processes"), [("2", 2), ("0,3", 2), ("1,", 1), ("x", 0), ("0", 0), ("", 0)])
def test_devices_by_number_or_id(devices, processes):
    assert count(devices) == processes


def test_auto_is_at_least_one():
    assert count("auto") >= 1


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["run", "--devices", "x", "a.py"], ["run", "--num-nodes", "two", "a.py"]]
)
def test_what_cannot_be_run(arguments, capsys):
    with pytest.raises(SystemExit) as leaving:
        parse(arguments)
    assert leaving.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_program_runs_once_per_device_with_the_options():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--accelerator=cpu", "--devices=2", "--precision=bf16-mixed", f"--main-port={port}"]
    command = [sys.executable, "-m", "leyden.cli.fabric", "run", *options, str(PROGRAM), "--epochs", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    first, *epochs, last = result.stdout.splitlines()
    assert first == "2 processes, autocast: True"
    assert [line.partition(":")[0] for line in epochs] == ["epoch 1", "epoch 2", "epoch 3"]
    assert float(last.removeprefix("accuracy ")) >= 0.9
