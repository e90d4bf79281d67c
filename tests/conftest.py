"""What every test runs under."""

import os
import sys

import pytest
import torch

# Tests import them by name; collected for doctests they would be imported a second time, with other classes.
collect_ignore_glob = ["helpers_*.py"]


@pytest.fixture(autouse=True)
def one_thread():
    """One thread: the machines of a test run have few cores, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Whatever a test writes without saying where goes to its own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def the_process_as_it_was():
    """What a run leaves on purpose (the seed's variables, torch's hook for distributed errors) ends with the test."""
    variables, hook = dict(os.environ), sys.excepthook
    yield
    sys.excepthook = hook
    for name in (os.environ.keys() | variables.keys()) - {"PYTEST_CURRENT_TEST"}:
        if name in variables:
            os.environ[name] = variables[name]
        else:
            del os.environ[name]
    assert not torch.distributed.is_initialized(), "the test left a process group"
