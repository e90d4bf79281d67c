"""What a loss that is NaN or infinite does to a run."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from leyden.engine.run import Run


ADVICE = "Fix: look at the batch, lower the learning rate, clip; or Trainer(nonfinite='skip' | 'stop' | 'ignore')."


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the message names epoch, batch and step."""


class LossGuard:
    """Looks at each loss, by the policy of ``Trainer(nonfinite=...)``.

    On the CPU the answer is there at once. On an accelerator, under the policy "raise", the losses are judged on the
    device and the host asks once per log window, at the epoch's end and before a save, so that no step waits; the
    other policies decide about the running batch and read each loss.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.policy = run.arguments.nonfinite
        self.bad: Tensor | None = None

    def passes(self, loss: Tensor) -> bool:
        """Whether the step may go on with ``loss``."""
        if self.policy == "raise" and not loss.is_cpu:
            bad = ~torch.isfinite(loss.detach()).all()
            self.bad = bad if self.bad is None else self.bad | bad
            return True
        # A loss of several elements is for a module with a `backward` of its own.
        finite = isfinite(loss.item()) if loss.numel() == 1 else bool(torch.isfinite(loss).all())
        if self.policy == "raise":
            if not finite:
                raise NonFiniteLossError(f"The loss is not finite ({self.place}); no weight changed by it. {ADVICE}")
            return True
        finite = self.run.strategy.reduce_boolean_decision(finite)
        if not finite:
            self.run.should_stop |= self.policy == "stop"
            then = ", and training stops" if self.policy == "stop" else ""
            self.run.trainer.print(f"The loss is not finite ({self.place}): the batch is left out{then}.")
        return finite

    def ask(self) -> None:
        """Read the judgement of the device."""
        if self.bad is not None:
            bad, self.bad = bool(self.bad), None
            if bad:
                damage = "The weights may be damaged; no checkpoint was saved since"
                text = f"A loss since the last check was not finite (now {self.place})"
                raise NonFiniteLossError(f"{text}. {damage}. {ADVICE}")

    @property
    def place(self) -> str:
        """Where the run is."""
        progress = self.run.progress
        return f"epoch {progress.epoch}, batch {progress.batch}, step {progress.global_step}"
