"""The hook table is complete: every hook that users can override has a row, and every row is a hook."""

import inspect

from leyden.core.callback import Callback
from leyden.core.datamodule import DataHooks, LightningDataModule
from leyden.core.hooks import HOOKS
from leyden.core.model_hooks import ModelHooks

# Methods of Callback that are no hooks of a run.
NOT_HOOKS = {"log", "log_dict"}


def public_methods(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if inspect.isfunction(value) and not name.startswith("_")}


def test_every_callback_hook_has_a_row() -> None:
    hooks = public_methods(Callback) - NOT_HOOKS
    assert hooks - set(HOOKS) == set()
    assert {name for name in hooks if "c" not in HOOKS[name].owners} == set()


def test_every_module_hook_has_a_row() -> None:
    hooks = public_methods(ModelHooks) | public_methods(DataHooks)
    assert hooks - set(HOOKS) == set()
    assert {name for name in hooks if "m" not in HOOKS[name].owners} == set()


def test_every_data_module_hook_has_a_row() -> None:
    hooks = public_methods(DataHooks) | {"on_exception"}
    assert {name for name in hooks if "d" not in HOOKS[name].owners} == set()


def test_every_row_is_a_method_of_its_owners() -> None:
    from leyden.core.module import LightningModule

    owners = {"c": Callback, "m": LightningModule, "d": LightningDataModule}
    missing = [
        (hook.name, owner) for hook in HOOKS.values() for owner in hook.owners if not hasattr(owners[owner], hook.name)
    ]
    assert missing == []
