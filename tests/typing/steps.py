"""Programs as users write them, checked by mypy and pyright, not run: overriding must be no type error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl

Batch = tuple[Tensor, Tensor]


class TwoArguments(pl.LightningModule):
    """The usual form."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        loss = nn.functional.mse_loss(self(x), y)
        self.log("loss", loss, prog_bar=True)
        self.log_dict({"loss2": loss, "one": 1.0}, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", nn.functional.mse_loss(self(batch[0]), batch[1]))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        out: Tensor = self(batch[0])
        return out

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


class BatchAlone(pl.LightningModule):
    def training_step(self, batch: Tensor) -> Tensor:
        return batch.sum()

    def validation_step(self, batch: Tensor) -> Tensor:
        return batch.mean()


class OtherNames(pl.LightningModule):
    def training_step(self, data: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        return {"loss": data["x"].sum(), "extra": data["x"]}

    def test_step(self, data: Mapping[str, Tensor], index: int, loader: int = 0) -> Mapping[str, Tensor]:
        return data


class Unannotated(pl.LightningModule):
    def training_step(self, batch, batch_idx):  # type: ignore[no-untyped-def]  # users leave annotations out
        return None

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        optimizer = torch.optim.Adam(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class Variadic(pl.LightningModule):
    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        return torch.zeros(())


class WithScheduler(TwoArguments):
    def configure_optimizers(self) -> pl.utilities.types.OptimizerLRSchedulerConfig:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}


class Data(pl.LightningDataModule):
    def setup(self, stage: str) -> None:
        self.data = TensorDataset(torch.zeros(4, 2), torch.zeros(4, 1))

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.data, batch_size=2)

    def val_dataloader(self) -> list[DataLoader[tuple[Tensor, ...]]]:
        return [DataLoader(self.data), DataLoader(self.data)]


class Watch(pl.Callback):
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.log("seen", float(batch_idx))

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        trainer.should_stop = True


def program() -> None:
    """What the Trainer takes and gives."""
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        devices=1,
        callbacks=[Watch(), pl.callbacks.EarlyStopping("val_loss")],
        logger=pl.loggers.CSVLogger("logs"),
        gradient_clip_val=1.0,
    )
    model = TwoArguments(lr=0.2)
    trainer.fit(model, Data())
    assert_type(trainer.test(model, datamodule=Data()), list[dict[str, float]])
    assert_type(trainer.callback_metrics, dict[str, Tensor])
    assert_type(trainer.current_epoch, int)
    assert_type(trainer.predict(model, Data()), list[Any] | None)
    assert_type(TwoArguments.load_from_checkpoint("file.ckpt"), TwoArguments)
    assert_type(pl.seed_everything(1, workers=True), int)


def mistakes() -> None:
    """What a type checker must object to: an objection that is missing is an error, too."""
    pl.Trainer(max_epoch=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    pl.Trainer(max_epochs="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pl.Trainer().fit(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
