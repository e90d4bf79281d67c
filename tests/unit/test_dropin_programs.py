"""What programs and the tools around them rely on in a drop-in run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

MODEL = """
import os, sys
import torch
import lightning.pytorch as pl
from pytorch_lightning.demos.boring_classes import BoringModel

torch.set_num_threads(1)
QUIET = dict(logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", max_steps=2,
             limit_val_batches=0)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables under which a package that says it is Lightning is installed."""
    site = tmp_path / "site"
    for root in ("lightning", "pytorch_lightning", "lightning_fabric"):
        (site / root).mkdir(parents=True)
        (site / root / "__init__.py").write_text("raise RuntimeError('the installed one')")
    kept = {name: value for name, value in os.environ.items() if name != "LEYDEN_DROPIN"}
    return kept | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def run(tmp_path: Path, environment: dict[str, str], text: str, *before: str) -> str:
    script = tmp_path / "script.py"
    script.write_text(dedent(text))
    command = [sys.executable, "-m", "leyden.dropin", *before, str(script), str(tmp_path)]
    result = subprocess.run(
        command, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_ranks_that_torchrun_starts_train_under_it(tmp_path: Path, environment: dict[str, str]) -> None:
    text = (
        MODEL
        + """
trainer = pl.Trainer(**QUIET, devices=2, strategy="ddp", enable_checkpointing=False)
trainer.fit(BoringModel())
assert trainer._accelerator_connector.is_distributed
with open(f"{sys.argv[1]}/rank{trainer.global_rank}", "w") as file:
    print(pl.__version__, type(trainer).__module__, trainer.world_size, trainer.global_step, file=file)
"""
    )
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    run(tmp_path, environment, text, *launcher)
    lines = [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)]
    assert lines == ["2.6.0 leyden.trainer 2 2\n"] * 2


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_ranks_that_a_program_starts_itself_are_under_it(
    tmp_path: Path, environment: dict[str, str], method: str
) -> None:
    text = f"""
        import sys
        import torch.multiprocessing as multiprocessing
        import lightning

        def work(rank, folder):
            from lightning.pytorch import Trainer
            import pytorch_lightning as pl
            assert pl.Trainer is Trainer
            open(f"{{folder}}/rank{{rank}}", "w").write(f"{{pl.__version__}} {{Trainer.__module__}}")

        if __name__ == "__main__":
            multiprocessing.start_processes(work, (sys.argv[1],), nprocs=2, start_method="{method}")
        """
    run(tmp_path, environment, text)
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["2.6.0 leyden.trainer"] * 2


def test_checks_of_version_and_presence_see_a_lightning(tmp_path: Path, environment: dict[str, str]) -> None:
    text = """
        import importlib.metadata as metadata, importlib.util, pkgutil
        from packaging.version import Version
        from packaging.requirements import Requirement
        from lightning_utilities.core.imports import RequirementCache, module_available
        import lightning, pytorch_lightning, lightning.fabric
        for name in ("lightning", "pytorch-lightning", "pytorch_lightning", "lightning-fabric"):
            assert Version(metadata.version(name)) in Requirement(f"{name}>=2.6,<2.7").specifier
            assert metadata.distribution(name).metadata["Name"].replace("_", "-") == name.replace("_", "-")
        for root in (lightning, pytorch_lightning, lightning.pytorch, lightning.fabric):
            assert Version(root.__version__) >= Version("2.6")
        assert metadata.packages_distributions()["pytorch_lightning"] == ["pytorch-lightning"]
        for name in ("lightning", "lightning.pytorch", "pytorch_lightning", "pytorch_lightning.callbacks"):
            assert importlib.util.find_spec(name) is not None and module_available(name)
        assert RequirementCache("lightning>=2.0") and RequirementCache("pytorch-lightning>=2.0,<3")
        assert not RequirementCache("lightning>=3")
        assert pkgutil.resolve_name("lightning.pytorch:Trainer") is pytorch_lightning.Trainer
        """
    run(tmp_path, environment, text)


def test_signatures_list_the_real_parameters(tmp_path: Path, environment: dict[str, str]) -> None:
    text = """
        import inspect
        import lightning.pytorch as pl
        trainer = inspect.signature(pl.Trainer.__init__).parameters
        assert {"accelerator", "max_epochs", "callbacks", "precision", "enable_autolog_hparams"} <= set(trainer)
        assert not [p for p in trainer.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        for name in ("EarlyStopping", "ModelCheckpoint", "LearningRateMonitor", "Timer", "RichProgressBar"):
            parameters = inspect.signature(getattr(pl.callbacks, name)).parameters
            assert parameters and not [p for p in parameters.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        for method in ("fit", "validate", "test", "predict"):
            assert "weights_only" in inspect.signature(getattr(pl.Trainer, method)).parameters
        assert "weights_only" in inspect.signature(pl.LightningModule.load_from_checkpoint).parameters
        assert "weights_only" in inspect.signature(pl.LightningDataModule.load_from_checkpoint).parameters
        """
    run(tmp_path, environment, text)


def test_strings_that_name_classes_resolve(tmp_path: Path, environment: dict[str, str]) -> None:
    text = """
        import importlib, pydoc

        def locate(path):  # as configuration systems do: import as far as it goes, then ask for attributes
            parts = path.split(".")
            found = importlib.import_module(parts[0])
            for number in range(1, len(parts)):
                try:
                    found = getattr(found, parts[number])
                except AttributeError:
                    found = importlib.import_module(".".join(parts[: number + 1]))
            return found

        import pytorch_lightning as pl
        for path in ("lightning.pytorch.Trainer", "lightning.Trainer", "pytorch_lightning.trainer.trainer.Trainer"):
            assert locate(path) is pl.Trainer is pydoc.locate(path)
        assert locate("lightning.pytorch.callbacks.EarlyStopping") is pl.callbacks.EarlyStopping
        assert locate("lightning.pytorch.loggers.csv_logs.CSVLogger")("x").name == "lightning_logs"
        """
    run(tmp_path, environment, text)


def test_a_tool_that_patches_both_roots_logs_once(tmp_path: Path, environment: dict[str, str]) -> None:
    text = (
        MODEL
        + """
import functools
import pytorch_lightning

logged = []

def patch(owner, name):
    "As autologging tools do: wrap what is there, and look for what an earlier wrap kept."
    original = getattr(getattr(owner, name), "_original", getattr(owner, name))
    @functools.wraps(original)
    def patched(self, *args, **kwargs):
        logged.append(name)
        return original(self, *args, **kwargs)
    patched._original = original
    setattr(owner, name, patched)

original = pl.Trainer.fit
for root in (pl, pytorch_lightning):
    patch(root.Trainer, "fit")
trainer = pytorch_lightning.Trainer(**QUIET, enable_checkpointing=False)
trainer.fit(BoringModel())
assert logged == ["fit"] and trainer.global_step == 2
import lightning
assert lightning.Trainer.fit._original is original

class Mine(lightning.Trainer):  # a sub-class goes through the patch once too
    pass

Mine(**QUIET, enable_checkpointing=False).fit(BoringModel())
assert logged == ["fit"] * 2
pl.Trainer.fit = original
pytorch_lightning.Trainer(**QUIET, enable_checkpointing=False).fit(BoringModel())
assert logged == ["fit"] * 2
"""
    )
    run(tmp_path, environment, text)


def test_checkpoints_need_no_class_of_ours(tmp_path: Path, environment: dict[str, str]) -> None:
    text = (
        MODEL
        + """
import pickle, pickletools, zipfile
from pathlib import Path

class Model(BoringModel):
    def __init__(self, lr=0.1, root=Path("x"), act=torch.nn.ReLU):
        super().__init__()
        self.save_hyperparameters()

callbacks = [pl.callbacks.EarlyStopping("x", strict=False), pl.callbacks.Timer(), pl.callbacks.ModelCheckpoint()]
with __import__("warnings").catch_warnings():
    __import__("warnings").simplefilter("ignore")
    trainer = pl.Trainer(**QUIET, callbacks=callbacks, default_root_dir=sys.argv[1])
    trainer.fit(Model())
path = trainer.checkpoint_callback.best_model_path
with zipfile.ZipFile(path) as file:
    content = file.read(next(name for name in file.namelist() if name.endswith("data.pkl")))
named, strings = set(), []
for opcode, argument, _ in pickletools.genops(content):
    if opcode.name == "GLOBAL":
        named.add(argument.split(" ")[0])
    elif opcode.name == "STACK_GLOBAL":
        named.add(strings[-2])
    if isinstance(argument, str):
        strings.append(argument)
assert named and {name.partition(".")[0] for name in named} <= {"torch", "collections", "builtins"}, named
assert not [module for module in named if module.startswith(("leyden", "lightning"))]
pickle.dumps(trainer.callback_metrics)
for call in (trainer.validate, trainer.test):
    call(Model(), ckpt_path=path, weights_only=True, verbose=False)
trainer.predict(Model(), ckpt_path=path, weights_only=True)
assert Model.load_from_checkpoint(path, weights_only=True).hparams.lr == 0.1
"""
    )
    run(tmp_path, environment, text)


def test_levels_of_lightnings_loggers_are_heard(tmp_path: Path, environment: dict[str, str]) -> None:
    text = """
        import contextlib, io, logging
        from lightning.pytorch import seed_everything
        from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_only
        assert rank_zero_only.rank == 0  # Lightning sets it when it is imported
        rank_zero_info("x")
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        assert logging.getLogger("pytorch_lightning").level == logging.ERROR
        assert logging.getLogger("lightning.pytorch.utilities.rank_zero").getEffectiveLevel() == logging.ERROR
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            seed_everything(1)
        assert shown.getvalue() == ""
        """
    run(tmp_path, environment, text)
