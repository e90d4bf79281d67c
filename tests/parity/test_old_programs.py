"""Programs as they were written for old releases, with the numbers that those releases printed."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from leyden.callbacks import EarlyStopping, ModelCheckpoint

pytestmark = pytest.mark.filterwarnings("ignore::leyden.errors.LightningDeprecationWarning", "ignore:Checkpoint dir")


def dataset(size: int) -> TensorDataset:
    x = torch.randn(size, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, (x.sum(1) > 0).long())


def total(module: torch.nn.Module) -> float:
    return float(sum(parameter.detach().double().sum() for parameter in module.parameters()))


class Of15(pl.LightningModule):
    """Written for 1.5: outputs at the epoch's end, the old ``optimizer_step``."""

    def __init__(self, lr: float = 0.1, **kwargs: Any) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        loss = functional.cross_entropy(self.net(x), y)
        self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        return {"loss": loss, "preds": self.net(x).argmax(1), "y": y}

    def training_epoch_end(self, outputs: Any) -> None:
        right = torch.cat([output["preds"] == output["y"] for output in outputs])
        self.log("train_acc", right.float().mean(), prog_bar=True)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
        x, y = batch
        return {"loss": functional.cross_entropy(self.net(x), y), "ok": (self.net(x).argmax(1) == y).float()}

    def validation_epoch_end(self, outputs: Any) -> None:
        for number, part in enumerate(outputs):
            self.log(f"val_acc_{number}", torch.cat([output["ok"] for output in part]).mean())
        losses = [output["loss"] for part in outputs for output in part]
        self.log("val_loss", torch.stack(losses).mean(), prog_bar=True)

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return functional.cross_entropy(self.net(batch[0]), batch[1])

    def test_epoch_end(self, outputs: Any) -> None:
        self.log("test_loss", torch.stack(outputs).mean())

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, optimizer_closure: Any,
        on_tpu: bool = False, using_native_amp: bool = False, using_lbfgs: bool = False,
    ) -> None:  # fmt: skip
        if self.trainer.global_step < 5:
            for group in optimizer.param_groups:
                group["lr"] = (self.trainer.global_step + 1) / 5 * self.hparams.lr
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int) -> None:
        optimizer.zero_grad(set_to_none=True)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}


# What 1.5.10 printed for this program.
VAL_LOSS = [0.7117, 0.57587, 0.51405, 0.43126]
TRAIN_ACC = [0.53125, 0.65625, 0.89062, 0.95312]
WEIGHTS = -3.343815


class Watch(pl.Callback):
    """Notes what is known at each epoch's end."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []
        self.batches = 0

    def on_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def on_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.batches += 1


def test_a_program_of_1_5(tmp_path: Path) -> None:
    torch.manual_seed(3)
    module, watch, stopping = Of15(), Watch(), EarlyStopping("val_loss", mode="min")
    data = dataset(64)
    best = ModelCheckpoint(dirpath=tmp_path, monitor="val_acc_0", mode="max")
    trainer = pl.Trainer(
        gpus=0, max_epochs=4, callbacks=[watch, stopping, best], logger=False, progress_bar_refresh_rate=0,
        weights_summary=None, num_sanity_val_steps=2, checkpoint_callback=True, terminate_on_nan=False,
        gradient_clip_val=0.5, accumulate_grad_batches=2,
    )  # type: ignore[call-arg]  # fmt: skip
    trainer.fit(module, DataLoader(data, 8), [DataLoader(data, 16), DataLoader(data, 32)])
    _, *rows = watch.seen  # the first is the sanity check's; then validation and training in turn
    (tested,) = trainer.test(module, DataLoader(data, 16), verbose=False)
    assert [row["val_loss"] for row in rows[::2]] == pytest.approx(VAL_LOSS, abs=2e-5)
    assert [row["train_acc"] for row in rows[1::2]] == pytest.approx(TRAIN_ACC, abs=2e-5)
    assert total(module) == pytest.approx(WEIGHTS, abs=1e-4)
    assert tested["test_loss"] == pytest.approx(VAL_LOSS[-1], abs=2e-5)
    assert (watch.batches, trainer.global_step, stopping.wait_count) == (32, 16, 0)


class Of09(pl.LightningModule):
    """Written for 0.9: dicts instead of ``self.log``, ``hparams`` as one argument, an optimizer that steps by itself."""

    def __init__(self, hparams: Any) -> None:
        super().__init__()
        self.hparams = hparams
        self.l = torch.nn.Linear(4, 2)

    def prepare_data(self) -> None:
        self.data = dataset(32)

    def training_step(self, batch: Any, batch_nb: int) -> Any:
        loss = functional.cross_entropy(self.l(batch[0]), batch[1])
        return {"loss": loss, "log": {"train_loss": loss}, "progress_bar": {"tl": loss}}

    def validation_step(self, batch: Any, batch_nb: int) -> Any:
        return {"val_loss": functional.cross_entropy(self.l(batch[0]), batch[1])}

    def validation_epoch_end(self, outputs: Any) -> Any:
        mean = torch.stack([output["val_loss"] for output in outputs]).mean()
        return {"val_loss": mean, "log": {"val/loss": mean}}

    def optimizer_step(
        self, current_epoch: int, batch_nb: int, optimizer: Any, optimizer_i: int, second_order_closure: Any = None,
        on_tpu: bool = False, using_native_amp: bool = False, using_lbfgs: bool = False,
    ) -> None:  # fmt: skip
        optimizer.step()
        optimizer.zero_grad()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

    def train_dataloader(self) -> Any:
        return DataLoader(self.data, batch_size=8)

    def val_dataloader(self) -> Any:
        return DataLoader(self.data, batch_size=8)


def test_a_program_of_0_9(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Of09(Namespace(lr=0.1))
    trainer = pl.Trainer(
        max_epochs=3, early_stop_callback=EarlyStopping("val_loss", mode="min"), logger=False, gpus=None,
        checkpoint_callback=ModelCheckpoint(filepath=f"{tmp_path}/m", monitor="val_loss", mode="min"),  # type: ignore[call-arg]
        progress_bar_refresh_rate=0, weights_summary=None, num_sanity_val_steps=0, row_log_interval=1,
    )  # type: ignore[call-arg]  # fmt: skip
    trainer.fit(module)
    # What 0.9.0 printed for this program; it showed the loss there, too.
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    expected = {"tl": 0.40294, "train_loss": 0.40294, "val/loss": 0.41196, "val_loss": 0.41196}
    assert logged == pytest.approx(expected, abs=2e-5)
    assert total(module) == pytest.approx(-0.09904, abs=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["m.ckpt"]
