"""What every test runs under."""

import pytest
import torch


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
