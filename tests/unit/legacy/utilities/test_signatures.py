from __future__ import annotations

from leyden.legacy.utilities.signatures import is_param_in_hook_signature


def test_a_parameter_is_found_by_name_by_star_or_by_number() -> None:
    assert is_param_in_hook_signature(lambda a, batch: 0, "batch")
    assert is_param_in_hook_signature(lambda *args: 0, "batch")
    assert not is_param_in_hook_signature(lambda *args: 0, "batch", explicit=True)
    assert is_param_in_hook_signature(lambda a, b: 0, "batch", min_args=2)
    assert not is_param_in_hook_signature(lambda a, b: 0, "batch", min_args=3)
    assert not is_param_in_hook_signature(lambda **options: 0, "batch")
