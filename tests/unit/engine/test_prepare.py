"""``prepare_data`` runs once for the same data, and again whenever something may have changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl

calls: list[str] = []


class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(pl.LightningDataModule):
    def __init__(self, size=4):
        super().__init__()
        self.save_hyperparameters()

    def prepare_data(self):
        calls.append("data")

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.ones(self.hparams.size, 1)), batch_size=2)


class Files(Data):
    """Data in a folder."""

    def __init__(self, data_dir, size=4):
        super().__init__(size)
        self.data_dir = data_dir

    def prepare_data(self):
        calls.append("files")
        folder = Path(self.data_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "numbers.txt").write_text("1 2 3")


@pytest.fixture(autouse=True)
def no_calls(tmp_path, monkeypatch):
    calls.clear()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def fit(data=None, model=None, **arguments):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, enable_checkpointing=False, **quiet)
    trainer.fit(model or Model(), datamodule=data, **arguments)


def test_once_for_the_same_object():
    data = Data()
    fit(data)
    fit(data)
    assert calls == ["data"]


def test_again_for_another_object_without_a_folder():
    fit(Data())
    fit(Data())
    assert calls == ["data", "data"]


def test_again_when_a_hyper_parameter_changed():
    data = Data()
    fit(data)
    data.hparams.size = 6
    fit(data)
    assert calls == ["data", "data"]


def test_again_when_the_method_changed():
    data = Data()
    fit(data)
    data.prepare_data = lambda: calls.append("other")
    fit(data)
    assert calls == ["data", "other"]


def test_the_module_s_own_method_runs_each_time():
    class Own(Model):
        def prepare_data(self):
            calls.append("module")

    model = Own()
    for _ in range(2):
        fit(model=model, train_dataloaders=Data().train_dataloader())
    assert calls == ["module", "module"]


def test_the_data_module_prepares_before_the_module():
    class Own(Model):
        def prepare_data(self):
            calls.append("module")

    fit(Data(), Own())
    assert calls == ["data", "module"]


def test_once_for_the_same_folder(tmp_path):
    fit(Files(tmp_path / "data"))
    fit(Files(str(tmp_path / "data")))
    assert calls == ["files"]


def test_the_folder_is_not_there_before_the_method_makes_it(tmp_path):
    class Asks(Files):
        def prepare_data(self):
            calls.append(str(Path(self.data_dir).exists()))

    fit(Asks(tmp_path / "data"))
    assert calls == ["False"]


@pytest.mark.parametrize("name", ["data_dir", "data_path", "root"])
def test_the_attribute_or_hyper_parameter_that_names_the_folder(tmp_path, name):
    class Named(Data):
        def prepare_data(self):
            calls.append(name)
            (tmp_path / "there").mkdir(exist_ok=True)

    class Saved(pl.LightningDataModule):
        def __init__(self, **kwargs):
            super().__init__()
            self.save_hyperparameters()

        prepare_data = Named.prepare_data
        train_dataloader = staticmethod(lambda: Data().train_dataloader())

    for _ in range(2):
        data = Named()
        setattr(data, name, tmp_path / "there")
        fit(data)
    assert calls == [name]
    for _ in range(2):
        fit(Saved(**{name: str(tmp_path / "there")}))
    assert calls == [name, name]


def test_again_for_another_folder(tmp_path):
    data = Files(tmp_path / "one")
    fit(data)
    data.data_dir = tmp_path / "two"
    fit(data)
    assert calls == ["files", "files"]


def test_again_when_the_folder_was_deleted(tmp_path):
    data = Files(tmp_path / "data")
    fit(data)
    for path in (tmp_path / "data").iterdir():
        path.unlink()
    (tmp_path / "data").rmdir()
    fit(data)
    assert calls == ["files", "files"]
    assert (tmp_path / "data" / "numbers.txt").exists()


def test_again_with_other_hyper_parameters_in_the_same_folder(tmp_path):
    fit(Files(tmp_path / "data", size=4))
    fit(Files(tmp_path / "data", size=6))
    fit(Files(tmp_path / "data", size=4))
    assert calls == ["files", "files"]


def test_again_after_a_crash_half_way(tmp_path):
    class Crashes(Files):
        def prepare_data(self):
            super().prepare_data()
            if len(calls) == 1:
                raise OSError("the connection broke")

    data = Crashes(tmp_path / "data")
    with pytest.raises(OSError, match="connection"):
        fit(data)
    fit(data)
    fit(data)
    assert calls == ["files", "files"]


def test_a_url_is_no_folder(tmp_path):
    data = Data()
    data.data_dir = "s3://bucket/data"
    fit(data)
    assert not [path for path in Path.cwd().iterdir() if path.name.startswith("s3")]


def test_a_folder_that_cannot_be_written_to(tmp_path):
    class Reads(Files):
        def prepare_data(self):
            calls.append("reads")

    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        fit(Reads(folder))
    finally:
        folder.chmod(0o700)
    assert calls == ["reads"]


def test_it_runs_again_in_a_new_process_only_if_the_source_changed(tmp_path):
    script = tmp_path / "script.py"
    text = """
import sys, torch, leyden as pl
from leyden.engine.prepare import prepare_once
class Data(pl.LightningDataModule):
    data_dir = sys.argv[1]
    def prepare_data(self):
        open(sys.argv[1] + "/file", "a").write("x")
        {more}
data = Data()
prepare_once(data, data.prepare_data)
"""
    folder = tmp_path / "data"
    folder.mkdir()

    def run(more):
        script.write_text(text.format(more=more))
        subprocess.run(
            [sys.executable, str(script), str(folder)], check=True, env=os.environ | {"TMPDIR": str(tmp_path)}
        )
        return (folder / "file").read_text()

    assert [run("pass"), run("pass"), run("return None")] == ["x", "x", "xx"]


def test_row_54_processes_wait_for_each_other(tmp_path):
    code = """
import sys, time, leyden as pl
from leyden.engine.prepare import prepare_once
class Data(pl.LightningDataModule):
    data_dir = sys.argv[1]
    def prepare_data(self):
        for line in range(200):
            open(sys.argv[1] + "/file", "a").write("x")
data = Data()
prepare_once(data, data.prepare_data)
print(len(open(sys.argv[1] + "/file").read()))
"""
    folder = tmp_path / "data"
    folder.mkdir()
    script = tmp_path / "script.py"
    script.write_text(code)
    command = [sys.executable, str(script), str(folder)]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["200", "200"]


@pytest.mark.parametrize(
    ("per_node", "ranks", "prepares"),
    [(True, (0, 2), True), (False, (0, 2), False), (False, (0, 0), True), (True, (1, 1), False)],
)
def test_who_prepares(per_node, ranks, prepares):
    from types import SimpleNamespace

    from leyden.core.hooks import Hooks
    from leyden.engine.prepare import prepare_data

    data, module = Data(), Model()
    data.prepare_data_per_node = per_node
    hooks = Hooks(trainer=None, callbacks=[], module=module)
    strategy = SimpleNamespace(local_rank=ranks[0], global_rank=ranks[1])
    prepare_data(SimpleNamespace(strategy=strategy, datamodule=data, module=module, hooks=hooks))
    assert calls == (["data"] if prepares else [])
