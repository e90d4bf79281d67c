from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import leyden
from leyden.legacy.views import ATTRIBUTES, PRIVATE
from leyden.legacy.views.view import View

SOURCE = Path(leyden.__file__).parent


class Shown(View):
    _called = "trainer._shown"


def test_what_has_no_counterpart_says_so_and_nothing_is_set() -> None:
    shown = Shown(object())
    with pytest.raises(AttributeError, match=r"`trainer._shown.other` is internal to Lightning"):
        _ = shown.other
    with pytest.raises(AttributeError, match=r"`trainer._shown.other` cannot be set"):
        shown.other = 1


def test_nothing_but_one_entry_refers_to_the_folder() -> None:
    files = [path for path in SOURCE.rglob("*.py") if path.parent.name != "views"]
    assert [path.name for path in files if "legacy.views" in path.read_text()] == ["alias.py"]


def test_leyden_works_without_the_folder() -> None:
    code = """if True:
        import sys
        sys.modules["leyden.legacy.views"] = None  # as if it were not there
        import leyden.dropin, pytorch_lightning as pl
        from pytorch_lightning.demos.boring_classes import BoringModel
        quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
        trainer = pl.Trainer(accelerator="cpu", max_steps=2, limit_val_batches=1, **quiet)
        trainer.fit(BoringModel())
        assert not hasattr(trainer, "_checkpoint_connector") and not hasattr(trainer.fit_loop, "epoch_loop")
        try:
            from lightning.fabric.utilities.types import _PATH
        except ImportError as error:
            print(error)
    """
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "is a private name of Lightning" in result.stdout


def test_the_tables_name_private_things() -> None:
    assert all(name.startswith("_") for names in PRIVATE.values() for name in names)
    assert set(ATTRIBUTES) == {"Trainer", "Loop", "Strategy"}
