import pytest

import leyden as pl
from leyden.core.profiler import Profiler


class Recording(Profiler):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.actions = []

    def start(self, action_name):
        self.actions.append(("start", action_name))

    def stop(self, action_name):
        self.actions.append(("stop", action_name))

    def summary(self):
        return f"{len(self.actions)} actions"


def test_profile_stops_the_action_when_the_block_raises():
    profiler = Recording()
    with pytest.raises(KeyError), profiler.profile("load"):
        raise KeyError
    assert profiler.actions == [("start", "load"), ("stop", "load")]


def test_describe_prints_or_writes_the_report(tmp_path, capsys):
    Recording().describe()
    assert capsys.readouterr().out == "0 actions\n"
    Recording(dirpath=tmp_path / "reports", filename="run.txt").describe()
    assert (tmp_path / "reports" / "run.txt").read_text() == "0 actions"
    assert capsys.readouterr().out == ""


def test_base_class_reports_nothing(capsys):
    with Profiler().profile("load") as name:
        assert name == "load"
    Profiler().describe()
    assert capsys.readouterr().out == ""


def test_hooks_of_module_and_callbacks_are_timed_under_their_names(tmp_path):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, batch_idx):
            return self.layer(batch[0]).sum()

        def on_train_start(self):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pass

    profiler = Recording()
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", profiler=profiler, callbacks=[Watch()], default_root_dir=tmp_path, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Module(), DataLoader(TensorDataset(torch.ones(4, 1))))
    names = {name for kind, name in profiler.actions if kind == "start"}
    assert names == {"[LightningModule]Module.on_train_start", f"[Callback]{Watch().state_key}.on_train_epoch_end"}
