"""The hooks of a LightningModule: each does nothing, and costs nothing, unless it is overridden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.optim import Optimizer

STEP_OUTPUT = Tensor | Mapping[str, Any] | None


class ModelHooks(nn.Module):
    """Called during a run, after the callbacks' hooks of the same name; the order is in ``docs/architecture.md``."""

    def on_fit_start(self) -> None:
        """Called when fit begins, after the optimizers were made."""

    def on_fit_end(self) -> None:
        """Called when fit ends."""

    def on_train_start(self) -> None:
        """Called before the first epoch."""

    def on_train_end(self) -> None:
        """Called after the last epoch."""

    def on_train_epoch_start(self) -> None:
        """Called when a training epoch begins."""

    def on_train_epoch_end(self) -> None:
        """Called when a training epoch ends, after its validation."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """Called before a training batch; return -1 to skip the rest of the epoch."""
        return None

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int) -> None:
        """Called after a training batch; ``outputs["loss"]`` is the detached loss over the accumulation factor."""

    def on_validation_start(self) -> None:
        """Called when a validation run begins."""

    def on_validation_end(self) -> None:
        """Called when a validation run ends."""

    def on_validation_epoch_start(self) -> None:
        """Called before the validation batches."""

    def on_validation_epoch_end(self) -> None:
        """Called after the validation batches."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called before a validation batch."""

    def on_validation_batch_end(
        self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Called after a validation batch."""

    def on_test_start(self) -> None:
        """Called when a test run begins."""

    def on_test_end(self) -> None:
        """Called when a test run ends."""

    def on_test_epoch_start(self) -> None:
        """Called before the test batches."""

    def on_test_epoch_end(self) -> None:
        """Called after the test batches."""

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called before a test batch."""

    def on_test_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called after a test batch."""

    def on_predict_start(self) -> None:
        """Called when a predict run begins."""

    def on_predict_end(self) -> None:
        """Called when a predict run ends."""

    def on_predict_epoch_start(self) -> None:
        """Called before the predict batches."""

    def on_predict_epoch_end(self) -> None:
        """Called after the predict batches."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called before a predict batch."""

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called after a predict batch."""

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Called before the gradients are cleared."""

    def on_before_backward(self, loss: Tensor) -> None:
        """Called before ``loss.backward()``."""

    def on_after_backward(self) -> None:
        """Called after ``loss.backward()``."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Called before ``optimizer.step()`` and before the gradients are clipped."""

    def on_validation_model_zero_grad(self) -> None:
        """Free the gradients before a validation run inside fit."""
        self.zero_grad()

    def on_validation_model_eval(self) -> None:
        """Switch to evaluation mode for validation."""
        self.eval()

    def on_validation_model_train(self) -> None:
        """Switch back after validation; called only if overridden, else each sub-module gets the mode it had."""
        self.train()

    def on_test_model_eval(self) -> None:
        """Switch to evaluation mode for testing."""
        self.eval()

    def on_test_model_train(self) -> None:
        """Switch back after testing; called only if overridden, else each sub-module gets the mode it had."""
        self.train()

    def on_predict_model_eval(self) -> None:
        """Switch to evaluation mode for prediction."""
        self.eval()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called while a checkpoint is put together; add your own keys (plain values and tensors)."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called when a checkpoint was read, before the weights are restored."""
