"""Mistakes in ``configure_optimizers`` and in what steps on a metric."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

from leyden.errors import MisconfigurationException
from mistakes.kit import Model, doubtful, fit, loader, mistake


def model(build: Any) -> Model:
    """A model that configures what ``build`` makes of an optimizer."""
    made = Model()
    made.configure_optimizers = lambda: build(torch.optim.SGD(made.parameters(), lr=0.1))  # type: ignore[method-assign]
    return made


@mistake(MisconfigurationException, "configure_optimizers", "no key 'optimizer'", "'optimizers'", "Did you mean")
def dict_without_optimizer():
    fit(model(lambda optimizer: {"optimizers": optimizer}))


@mistake(MisconfigurationException, "configure_optimizers", "'adam' \\(str\\)", "an optimizer")
def optimizer_by_name():
    fit(model(lambda optimizer: "adam"))


@mistake(MisconfigurationException, "configure_optimizers", "SGD", "instances|an optimizer")
def optimizer_class():
    fit(model(lambda optimizer: torch.optim.SGD))


@mistake(MisconfigurationException, "configure_optimizers", "SGD", "instances|an optimizer")
def optimizer_class_in_a_list():
    fit(model(lambda optimizer: [torch.optim.SGD]))


@mistake(MisconfigurationException, "configure_optimizers", "StepLR", "optimizer")
def scheduler_alone():
    fit(model(lambda optimizer: StepLR(optimizer, 1)))


@mistake(MisconfigurationException, "configure_optimizers", "SGD", "pair of lists")
def scheduler_beside_the_list():
    fit(model(lambda optimizer: ([optimizer], StepLR(optimizer, 1))))


@mistake(RuntimeError, "2 optimizers", "automatic_optimization = False")
def two_optimizers_in_automatic_optimization():
    fit(model(lambda optimizer: [optimizer, optimizer]))


@mistake(MisconfigurationException, "`interval`", "'steps'", "Did you mean 'step'")
def interval_misspelt():
    fit(model(lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": StepLR(o, 1), "interval": "steps"}}))


@mistake(MisconfigurationException, "`frequency`", " 0 \\(int\\)", "int >= 1")
def frequency_zero():
    fit(model(lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": StepLR(o, 1), "frequency": 0}}))


@mistake(MisconfigurationException, "lr_scheduler", "no key 'scheduler'", "Did you mean 'scheduler'")
def lr_scheduler_without_scheduler():
    fit(model(lambda o: {"optimizer": o, "lr_scheduler": {"schedular": StepLR(o, 1)}}))


@mistake(MisconfigurationException, "ReduceLROnPlateau", "'monitor': 'val_loss'")
def plateau_without_monitor():
    fit(model(lambda o: {"optimizer": o, "lr_scheduler": ReduceLROnPlateau(o)}))


@mistake(MisconfigurationException, "ReduceLROnPlateau", "'val_los'", "'val_loss'", "Did you mean", batches=1, steps=1)
def plateau_with_a_misspelt_monitor():
    fit(
        model(lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": ReduceLROnPlateau(o), "monitor": "val_los"}}),
        val=loader(),
    )


@mistake(MisconfigurationException, "ReduceLROnPlateau", "'val_loss', which would be taken, was not logged")
def bare_plateau_without_val_loss():
    class Silent(Model):
        def validation_step(self, batch, batch_idx):
            self.log("other", 1.0)

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [ReduceLROnPlateau(optimizer)]

    fit(Silent(), val=loader())


@mistake(MisconfigurationException, "StepLR", "did not return", "return that optimizer")
def scheduler_of_another_optimizer():
    other = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    fit(model(lambda o: ([o], [StepLR(other, 1)])))


@mistake(MisconfigurationException, "Custom", "lr_scheduler_step")
def scheduler_that_torch_does_not_know():
    class Custom:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        def step(self):
            return None

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            return None

    fit(model(lambda o: ([o], [Custom(o)])))


@doubtful(UserWarning, "`configure_optimizers` returned no optimizer", "no weights")
def no_optimizer():
    fit(model(lambda o: None))


@doubtful(UserWarning, "no meaning", "\\['scheduler'\\]", "'lr_scheduler'")
def unknown_key_beside_the_optimizer():
    fit(model(lambda o: {"optimizer": o, "scheduler": StepLR(o, 1)}))


@doubtful(UserWarning, "unknown keys \\['freq'\\]", "'frequency'")
def unknown_key_beside_the_scheduler():
    fit(model(lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": StepLR(o, 1), "freq": 2}}))


@doubtful(UserWarning, "OneCycleLR", "'interval': 'step'")
def one_cycle_per_epoch():
    fit(model(lambda o: ([o], [OneCycleLR(o, 0.1, total_steps=10)])))
