from __future__ import annotations

import pytest

from leyden.legacy.utilities.devices import find_usable_cuda_devices


def test_usable_cuda_devices_are_never_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="`num_devices` got 100"):
        find_usable_cuda_devices(100)
