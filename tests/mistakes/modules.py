"""Mistakes in a module: what it defines, what its steps return, what it logs."""

from __future__ import annotations

import torch
from torch import nn

import leyden as pl
from leyden.errors import MisconfigurationException, PossibleUserWarning
from mistakes.kit import Bare, Model, doubtful, fit, loader, mistake, trainer


@mistake(MisconfigurationException, "Bare has no `training_step`", "def training_step\\(self, batch, batch_idx\\)")
def no_training_step():
    class WithOptimizer(Bare):
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    WithOptimizer.__name__ = "Bare"
    fit(WithOptimizer())


@mistake(MisconfigurationException, "`configure_optimizers`", "torch.optim.Adam")
def no_configure_optimizers():
    class Unoptimized(Bare):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[0]).sum()

    fit(Unoptimized())


@mistake(MisconfigurationException, "no `training_step`", "`validation_step` alone")
def only_a_validation_step():
    class OnlyValidation(Bare):
        def validation_step(self, batch, batch_idx):
            return None

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    fit(OnlyValidation(), val=loader())


@mistake(MisconfigurationException, "no `training_step`", "no `configure_optimizers`", "2 mistakes")
def no_method_at_all():
    fit(Bare())


@mistake(MisconfigurationException, "`Typo.trainin_step`", "hook", "`training_step`")
def misspelt_training_step():
    class Typo(Bare):
        def trainin_step(self, batch, batch_idx):
            return self.layer(batch[0]).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    fit(Typo())


@doubtful(PossibleUserWarning, "`Typo.validaton_step`", "`validation_step`", "[Rr]ename")
def misspelt_validation_step():
    class Typo(Model):
        validation_step = pl.LightningModule.validation_step

        def validaton_step(self, batch, batch_idx):
            return None

    fit(Typo())


@doubtful(PossibleUserWarning, "`Typo.on_train_epoch_edn`", "`on_train_epoch_end`")
def swapped_letters_in_a_hook():
    class Typo(Model):
        def on_train_epoch_edn(self):
            return None

    fit(Typo())


@doubtful(PossibleUserWarning, "`Typo.on_train_epoch_ends`", "`on_train_epoch_end`")
def misspelt_hook_of_a_callback():
    class Typo(pl.Callback):
        def on_train_epoch_ends(self, trainer, pl_module):
            return None

    fit(callbacks=[Typo()])


@mistake(TypeError, "`model`|fit\\(model\\)", "type", "nn.Module instance")
def model_class_instead_of_instance():
    trainer().fit(Model, loader())


@mistake(TypeError, "fit\\(model\\)", "5 \\(int\\)", "LightningModule")
def model_as_a_number():
    trainer().fit(5, loader())


@mistake(TypeError, "fit\\(model\\)", "DataLoader", "LightningModule")
def model_and_loader_swapped():
    trainer().fit(loader(), Model())


@mistake(MisconfigurationException, "Forgetful", "super\\(\\).__init__\\(\\)")
def forgotten_super_init():
    class Forgetful(Model):
        def __init__(self):
            self.rate = 0.1

    fit(Forgetful())


@mistake(MisconfigurationException, "NoBatch.training_step\\(self\\)`", "def training_step\\(self, batch, batch_idx\\)")
def training_step_without_arguments():
    class NoBatch(Model):
        def training_step(self):
            return None

    fit(NoBatch())


@mistake(
    MisconfigurationException, "`TooMany.training_step\\(", "extra", "def training_step\\(self, batch, batch_idx\\)"
)
def training_step_with_too_many_arguments():
    class TooMany(Model):
        def training_step(self, batch, batch_idx, extra, more):
            return None

    fit(TooMany())


@mistake(MisconfigurationException, "second batch from `dataloader_iter`", "accumulate_grad_batches=n", batches=1)
def step_that_takes_several_batches():
    class Greedy(Model):
        def training_step(self, dataloader_iter):
            return sum(self.loss(batch) for batch, _, _ in dataloader_iter)

    fit(Greedy())


@mistake(MisconfigurationException, "`TooMany.validation_step\\(", "extra", "dataloader_idx=0")
def validation_step_with_too_many_arguments():
    class TooMany(Model):
        def validation_step(self, batch, batch_idx, dataloader_idx, extra):
            return None

    fit(TooMany(), val=loader())


@mistake(MisconfigurationException, "`training_step` returned 0\\.5", "'loss'", "not loss.item\\(\\)", batches=1)
def training_step_returns_a_float():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return 0.5

    fit(Returns())


@mistake(MisconfigurationException, "`training_step` returned 'loss'", "loss tensor", batches=1)
def training_step_returns_text():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return "loss"

    fit(Returns())


@mistake(MisconfigurationException, "`training_step` returned", "\\['los'\\]", "'loss'", batches=1)
def training_step_returns_a_dict_without_loss():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return {"los": self.loss(batch)}

    fit(Returns())


@mistake(MisconfigurationException, "`training_step` returned", "tuple|tensor", "loss tensor", batches=1)
def training_step_returns_a_tuple():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return self.loss(batch), 3

    fit(Returns())


@mistake(MisconfigurationException, "`training_step`", "shape \\(2, 1\\)", "mean\\(\\)", batches=1)
def loss_of_several_numbers():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[0])

    fit(Returns())


@mistake(MisconfigurationException, "`training_step`", "shape \\(2, 1\\)", "mean\\(\\)", batches=1)
def loss_of_several_numbers_unguarded():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return {"loss": self.layer(batch[0])}

    fit(Returns(), nonfinite="ignore")


@mistake(MisconfigurationException, "`training_step`", "no gradient|needs no gradient", "detach", batches=1)
def detached_loss():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return self.loss(batch).detach()

    fit(Returns())


@mistake(MisconfigurationException, "int64", "needs no gradient", "integers", batches=1)
def loss_of_integers():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return self.loss(batch).long()

    fit(Returns())


@mistake(MisconfigurationException, "Frozen", "requires_grad", "unfreeze", batches=1)
def every_parameter_frozen():
    class Frozen(Model):
        def __init__(self):
            super().__init__()
            self.requires_grad_(False)

    fit(Frozen())


@mistake(ValueError, "Empty", "no parameters", "configure_optimizers")
def module_without_parameters():
    class Empty(Model):
        def __init__(self):
            super().__init__()
            self.layer = nn.ReLU()

    fit(Empty())


@mistake(MisconfigurationException, "`manual_backward\\(\\)`", "automatic_optimization = False", batches=1)
def manual_backward_in_automatic_optimization():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            self.manual_backward(self.loss(batch))

    fit(Returns())


@doubtful(UserWarning, "manual optimization", "optimizer.step\\(\\)|opt.step\\(\\)", "training_step")
def manual_optimization_that_never_steps():
    class Manual(Model):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            self.manual_backward(self.loss(batch))

    fit(Manual())


@doubtful(UserWarning, "`training_step` returned None", "loss")
def training_step_that_always_returns_none():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            self.loss(batch)

    fit(Returns())


@doubtful(UserWarning, "has no `validation_step`", "def validation_step")
def validation_data_without_a_step():
    class NoStep(Model):
        validation_step = pl.LightningModule.validation_step

    fit(NoStep(), val=loader())


@doubtful(UserWarning, "no validation data", "val_dataloaders")
def validation_step_without_data():
    fit()


@mistake(ArithmeticError, "loss is not finite", "epoch 0, batch 0", "nonfinite='skip'", batches=1)
def nan_loss():
    class Returns(Model):
        def training_step(self, batch, batch_idx):
            return self.loss(batch) * float("nan")

    fit(Returns())


@mistake(ValueError, "'a'|\\ba\\b", "'x'|str", batches=1)
def logging_text():
    class Logs(Model):
        def training_step(self, batch, batch_idx):
            self.log("a", "x")
            return self.loss(batch)

    fit(Logs())


@mistake(ValueError, "`a`|'a'|\\(a", "shape|elements", "mean\\(\\)|max\\(\\)", batches=1)
def logging_several_numbers():
    class Logs(Model):
        def training_step(self, batch, batch_idx):
            self.log("a", torch.ones(3))
            return self.loss(batch)

    fit(Logs())


@mistake(ValueError, "None", batches=1)
def logging_none():
    class Logs(Model):
        def training_step(self, batch, batch_idx):
            self.log("a", None)
            return self.loss(batch)

    fit(Logs())


@mistake(MisconfigurationException, "'?a'?", "twice|different", "training_step", batches=1)
def logging_a_key_twice_with_other_arguments():
    class Logs(Model):
        def training_step(self, batch, batch_idx):
            self.log("a", 1.0, prog_bar=True)
            self.log("a", 2.0, prog_bar=False)
            return self.loss(batch)

    fit(Logs())


@mistake(MisconfigurationException, "reduce_fx", "'median'", "mean", batches=1)
def logging_with_an_unknown_reduction():
    class Logs(Model):
        def training_step(self, batch, batch_idx):
            self.log("a", 1.0, reduce_fx="median")
            return self.loss(batch)

    fit(Logs())


@mistake(MisconfigurationException, "on_train_end|on_fit_start", "log")
def logging_where_it_is_not_possible():
    class Logs(Model):
        def on_fit_start(self):
            self.log("a", 1.0)

    fit(Logs())


@mistake(MisconfigurationException, "on_step", "on_train_epoch_start", batches=0)
def logging_per_step_in_an_epoch_hook():
    class Logs(Model):
        def on_train_epoch_start(self):
            self.log("a", 1.0, on_step=True)

    fit(Logs())


@mistake(MisconfigurationException, "dataloader_idx_", batches=1)
def logging_a_reserved_name():
    class Logs(Model):
        def training_step(self, batch, batch_idx):
            self.log("a/dataloader_idx_0", 1.0)
            return self.loss(batch)

    fit(Logs())


@mistake(RuntimeError, "Model is not attached", "`self.trainer` in hooks")
def trainer_before_a_run():
    print(Model().trainer)


@mistake(TypeError, "load_from_checkpoint", "class")
def load_from_checkpoint_on_an_instance():
    Model().load_from_checkpoint("x.ckpt")
