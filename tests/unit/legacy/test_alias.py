from __future__ import annotations

import subprocess
import sys

import pytest

from leyden.legacy.alias import VERSION, AliasLoader, AliasModule, is_module, missing, path_of, private

LOADER = AliasLoader()


def module(name: str) -> AliasModule:
    made = LOADER.create_module(LOADER.spec_of(name))
    assert isinstance(made, AliasModule)
    return made


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(
    "root",
    ["lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric", "leyden.pytorch"],
)
def test_roots_carry_a_version(root: str) -> None:
    assert module(root).__version__ == VERSION


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("lightning", ""),
        ("lightning.pytorch.core", "pytorch.core"),
        ("pytorch_lightning", "pytorch"),
        ("lightning_fabric.utilities", "fabric.utilities"),
        ("leyden", "pytorch"),
        ("leyden.utilities.types", "pytorch.utilities.types"),
        ("leyden.pytorch.callbacks", "pytorch.callbacks"),
        ("leyden.fabric.plugins", "fabric.plugins"),
    ],
)
def test_the_path_that_a_name_stands_for(name: str, path: str) -> None:
    assert path_of(name) == path


def test_modules_under_two_roots_differ_and_share_their_classes() -> None:
    first, second = module("pytorch_lightning.callbacks"), module("lightning.pytorch.callbacks")
    assert first is not second
    assert first.Callback is second.Callback


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pytorch_lightning.callbacks.EarlyStoping", "Did you mean 'EarlyStopping'?"),
        ("pytorch_lightning.calbacks", "Did you mean 'callbacks'?"),
        ("pytorch_lightning.Timer", "`Timer` is in `lightning.pytorch.callbacks`"),
        ("leyden.utilities.Timer", "`Timer` is in `leyden.callbacks`"),
        ("lightning.pytorch.metrics", "torchmetrics"),
        ("pytorch_lightning.callbacks.GPUStatsMonitor", "DeviceStatsMonitor"),
        ("lightning.zzz", "is not in Leyden"),
        ("lightning.pytorch.strategies.FSDPStrategy", "does not have `lightning.pytorch.strategies.FSDPStrategy` yet"),
        ("lightning.pytorch.loggers.neptune.NeptuneLogger", "use another logger"),
        ("lightning.pytorch.utilities.consolidate_checkpoint", "yet: checkpoints are single files"),
        ("lightning.pytorch.accelerators.XLAAccelerator", "it needs a TPU"),
        ("lightning.pytorch.core.module._jit_is_scripting", "is a private name of Lightning"),
        ("lightning.pytorch.loops.fit_loop", "is an internal part of Lightning"),
    ],
)
def test_what_is_missing_is_said_with_what_helps(name: str, hint: str) -> None:
    assert name in missing(name)
    assert hint in missing(name)


def test_asking_for_a_missing_attribute_is_an_attribute_error() -> None:
    assert not hasattr(module("pytorch_lightning"), "nothing")


def test_a_class_that_leyden_does_not_have_can_be_named_under_lightnings_roots_and_not_made() -> None:
    strategy = module("pytorch_lightning.strategies").FSDPStrategy
    assert strategy is module("lightning.fabric.strategies").FSDPStrategy
    assert not isinstance(3, strategy)
    with pytest.raises(ImportError, match="does not have `FSDPStrategy` yet: use `strategy="):
        strategy()


def test_a_name_that_leyden_is_known_not_to_have_is_an_import_error_under_its_own_root() -> None:
    with pytest.raises(ImportError, match="does not have `leyden.strategies.FSDPStrategy` yet: use `strategy="):
        from leyden.strategies import FSDPStrategy  # noqa: F401


def test_names_are_listed_and_private_ones_are_not_exported() -> None:
    root = module("pytorch_lightning")
    assert "Trainer" in root.__all__
    assert {"Trainer", "callbacks", "loggers"} <= set(dir(root))
    assert not [name for name in module("lightning.fabric.utilities.types").__all__ if name.startswith("_")]


def test_a_command_can_be_run_and_another_module_cannot() -> None:
    code = LOADER.get_code("lightning.pytorch.utilities.upgrade_checkpoint")
    assert code is not None
    assert LOADER.get_code("lightning.pytorch.utilities.types") is None


def test_modules_and_what_is_above_them_are_known() -> None:
    assert is_module("pytorch.utilities.model_summary")
    assert is_module("")
    assert not is_module("pytorch.nothing")


def test_paths_of_leyden_need_no_drop_in_and_change_nothing_for_others() -> None:
    code = """if True:
        import sys
        finders = list(sys.meta_path)
        import leyden.utilities.types, leyden.callbacks.callback as callback, leyden as pl
        from leyden.utilities import rank_zero_only
        from leyden.trainer.states import TrainerFn
        from leyden.callbacks.progress.rich_progress import RichProgressBarTheme
        from leyden.fabric.utilities.seed import seed_everything
        import leyden.pytorch.callbacks.early_stopping
        assert callback.Callback is pl.Callback
        assert pl.utilities.rank_zero.rank_zero_only is rank_zero_only
        assert pl.pytorch.callbacks.early_stopping.EarlyStopping is pl.callbacks.EarlyStopping
        assert pl.strategies.ddp.DDPStrategy is pl.strategies.DDPStrategy
        assert seed_everything is pl.seed_everything
        assert sys.meta_path == finders
        assert not [name for name in sys.modules if name.partition(".")[0] in ("lightning", "pytorch_lightning")]
        print(pl.trainer.states.TrainerFn is TrainerFn)
    """
    assert run(code) == "True"


def test_a_file_wins_over_a_path_of_the_table() -> None:
    code = """if True:
        import leyden.callbacks, sys
        assert "leyden.callbacks.early_stopping" not in sys.modules
        import leyden.callbacks.early_stopping as module
        print(module.__file__.endswith("early_stopping.py"))
    """
    assert run(code) == "True"


def test_importing_a_path_imports_nothing_that_it_names() -> None:
    code = """if True:
        import leyden.utilities.types, leyden.strategies.ddp, leyden.pytorch.callbacks, sys
        print([name for name in sys.modules if name.startswith(("leyden.runtime", "leyden.core", "leyden.engine"))])
    """
    assert run(code) == "[]"


def test_private_attributes_are_views_or_attribute_errors() -> None:
    class Trainer:
        _runtime = None

        @property
        def broken(self) -> int:
            raise AttributeError("for a reason")

        __getattr__ = private

    trainer = Trainer()
    assert type(trainer._accelerator_connector).__name__ == "AcceleratorConnector"
    with pytest.raises(AttributeError, match="for a reason"):
        _ = trainer.broken
    with pytest.raises(AttributeError, match="has no attribute '_data_connector'. In Lightning it is private"):
        _ = trainer._data_connector
    assert not hasattr(trainer, "anything")
