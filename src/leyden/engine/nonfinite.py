"""What a loss that is NaN or infinite does to a run."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from leyden.engine.run import Run


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the message names epoch, batch and step."""


class LossGuard:
    """Looks at each loss, by the policy of ``Trainer(nonfinite=...)``.

    On the CPU the answer is there at once. On an accelerator the losses are judged on the device and the host asks
    once per log window and before a save, so that no step waits.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.policy = run.arguments.nonfinite
        self.bad: Tensor | None = None

    def passes(self, loss: Tensor) -> bool:
        """Whether the step may go on with ``loss``."""
        if not loss.is_cpu:
            bad = ~torch.isfinite(loss.detach()).all()
            self.bad = bad if self.bad is None else self.bad | bad
            return True
        return isfinite(loss.item()) or self.handle()

    def ask(self) -> None:
        """Read the judgement of the device."""
        if self.bad is not None:
            bad, self.bad = bool(self.bad), None
            if bad:
                self.handle()

    def handle(self) -> bool:
        """Act on a loss that is not finite; False means: leave this batch out."""
        run = self.run
        place = f"epoch {run.progress.epoch}, batch {run.progress.batch}, step {run.progress.global_step}"
        if self.policy == "raise":
            raise NonFiniteLossError(
                f"The loss is not finite ({place}); no weight was changed by it. Look at the batch, lower the learning "
                "rate, clip the gradients; or choose Trainer(nonfinite='skip' | 'stop' | 'ignore')."
            )
        if self.policy == "stop":
            run.should_stop = True
        if self.policy in ("stop", "skip"):
            run.trainer.print(f"The loss is not finite ({place}): the batch is left out.")
        return False
