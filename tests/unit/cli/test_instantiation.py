from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import leyden as pl
from helpers_cli import Data, Deeper, Model, Trained, build, path_of, run, write
from leyden.cli import LightningCLI, OptimizerCallable, instantiate_class, instantiate_module

RELU = {"class_path": "torch.nn.ReLU", "init_args": {"inplace": False}}
OURS = "lightning.pytorch.cli.instantiate_module"


def test_a_class_from_its_path_positional_arguments_and_others() -> None:
    made = instantiate_class(2, {"class_path": "torch.nn.Linear", "init_args": {"out_features": 3}})
    assert (made.in_features, made.out_features) == (2, 3)
    assert instantiate_class((2, 3), {"class_path": "torch.nn.Linear"}).out_features == 3
    parameters = [torch.zeros(1)]
    assert isinstance(instantiate_class((parameters,), {"class_path": "torch.optim.Adam"}), torch.optim.Adam)


@pytest.mark.parametrize("path", ["os.system", "subprocess.Popen", "torch.hub.load", "helpers_cli.os.system"])
def test_a_class_outside_the_program_is_not_imported(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr("helpers_cli.system", os.system, raising=False)
    for name in (path, "helpers_cli.system"):
        with pytest.raises(ImportError, match="Nothing was imported|No module"):
            instantiate_class("touch ran", {"class_path": name})
    assert not Path("ran").exists()


def test_a_short_name_is_refused() -> None:
    with pytest.raises(ValueError, match="full path"):
        instantiate_class((), {"class_path": "Linear"})


# -- hyper-parameters under the command line ----------------------------------------------------------------------------


def test_hyper_parameters_are_the_configuration() -> None:
    model = build("--model.width=3", "--model.act=torch.nn.ReLU").model
    assert dict(model.hparams) == {"width": 3, "lr": 0.1, "act": RELU, "_instantiator": OURS}
    assert model.hparams == model.hparams_initial
    assert isinstance(model.act, nn.ReLU)


def test_under_a_chosen_class_they_name_it() -> None:
    model = build(f"--model={path_of(Deeper)}", "--model.depth=4", model=Model, subclass_mode_model=True).model
    assert next(iter(model.hparams)) == "_class_path"
    assert model.hparams["_class_path"] == path_of(Deeper) and model.hparams["depth"] == 4


def test_without_support_they_are_the_arguments() -> None:
    model = build("--model.act=torch.nn.ReLU", load_from_checkpoint_support=False, model=Ignoring).model
    assert dict(model.hparams) == {"width": 1}


class Ignoring(pl.LightningModule):
    def __init__(self, width: int = 1, act: nn.Module | None = None) -> None:
        super().__init__()
        self.save_hyperparameters(ignore="act")
        self.inner = Deeper(depth=7, width=2)


class OfOneDict(pl.LightningModule):
    def __init__(self, cfg: dict[str, Any], net: nn.Module | None = None) -> None:
        super().__init__()
        self.save_hyperparameters(cfg)


class Named(pl.LightningModule):
    def __init__(self, width: int = 1, act: nn.Module | None = None) -> None:
        super().__init__()
        self.save_hyperparameters("width")


def test_ignored_arguments_named_ones_dicts_and_modules_within() -> None:
    model = build("--model.act=torch.nn.ReLU", model=Ignoring).model
    assert dict(model.hparams) == {"width": 1, "_instantiator": OURS}
    assert dict(model.inner.hparams) == {"depth": 7, "width": 2, "lr": 0.1, "act": None}
    assert dict(build("--model.cfg={lr: 0.5}", model=OfOneDict).model.hparams) == {"lr": 0.5}
    assert build("--model.act=torch.nn.ReLU", model=Named).model.hparams["act"] == RELU


class Outer(pl.LightningModule):
    def __init__(self, inner: Model, size: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.inner = inner


def test_a_module_that_is_an_argument_keeps_its_own() -> None:
    model = build(f"--model.inner={path_of(Model)}", "--model.inner.width=5", model=Outer).model
    assert dict(model.inner.hparams) == {"width": 5, "lr": 0.1, "act": None}
    assert model.hparams["size"] == 3
    assert model.hparams["inner"]["init_args"]["width"] == 5


class Linked(LightningCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.link_arguments("data.batch_size", "model.lr")
        parser.link_arguments("data.classes", "model.width", apply_on="instantiate")


def test_linked_values_are_among_them() -> None:
    built = build("--data.batch_size=3", cli=Linked, datamodule_class=Data)
    assert (built.model.hparams["lr"], built.model.hparams["width"]) == (3, 5)
    assert built.datamodule.hparams["batch_size"] == 3


# -- checkpoints --------------------------------------------------------------------------------------------------------


class Late(Model):
    def __init__(self, optimizer: OptimizerCallable = torch.optim.SGD, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.optimizer = optimizer

    def configure_optimizers(self) -> Any:
        return self.optimizer(self.parameters())


def trained(*args: str, model: Any, **options: Any) -> str:
    run("fit", *args, "--trainer.enable_checkpointing=true", model=model, **options)
    return str(next(Path("checkpoints").glob("*.ckpt")))


def test_a_checkpoint_is_loaded_with_the_objects_it_was_made_with() -> None:
    path = trained("--model.act=torch.nn.ReLU", "--model.optimizer=Adam", "--model.optimizer.lr=0.5", model=Late)
    loaded = Late.load_from_checkpoint(path)
    assert isinstance(loaded.act, nn.ReLU)
    (group,) = loaded.configure_optimizers().param_groups
    assert (group["lr"], group["betas"]) == (0.5, (0.9, 0.999))
    assert loaded.hparams["act"] == RELU
    assert Late.load_from_checkpoint(path, lr=0.7).lr == 0.7
    with pytest.warns(UserWarning, match="are modules"):
        assert isinstance(Late.load_from_checkpoint(path, act=nn.Tanh()).act, nn.Tanh)


def test_a_base_class_loads_the_class_that_was_chosen() -> None:
    path = trained(f"--model={path_of(Deeper)}", "--model.depth=4", model=Model, subclass_mode_model=True)
    loaded = Model.load_from_checkpoint(path)
    assert type(loaded) is Deeper and loaded.depth == 4
    assert Data.load_from_checkpoint(path).batch_size == 2


def altered(path: str, **hparams: Any) -> str:
    saved = torch.load(path, weights_only=True)
    saved["hyper_parameters"] |= hparams
    torch.save(saved, "altered.ckpt")
    return "altered.ckpt"


def test_a_hostile_checkpoint_imports_nothing() -> None:
    path = trained(model=Trained)
    with pytest.raises(ValueError, match="`_instantiator` got 'os.system'"):
        Trained.load_from_checkpoint(altered(path, _instantiator="os.system"))
    for hparams in ({"_class_path": "os.system"}, {"act": {"class_path": "os.system"}}, {"lr": {"class_path": "a.b"}}):
        with pytest.raises(ValueError, match=r"Nothing was imported|do not fit"):
            Trained.load_from_checkpoint(altered(path, **hparams))


def test_a_checkpoint_that_lightning_wrote_loads() -> None:
    """The keys that its command line leaves."""
    path = trained(model=Trained)
    saved = torch.load(path, weights_only=True)
    saved["hparams_name"] = "kwargs"
    saved["hyper_parameters"] = {"_class_path": path_of(Deeper), "depth": 2, "act": RELU, "_instantiator": OURS}
    torch.save(saved, "theirs.ckpt")
    loaded = Trained.load_from_checkpoint("theirs.ckpt")
    assert type(loaded) is Deeper and isinstance(loaded.act, nn.ReLU)


def test_hyper_parameters_that_do_not_fit_say_so() -> None:
    with pytest.raises(ValueError, match="do not fit Model"):
        instantiate_module(Model, {"width": "wide"})
    assert instantiate_module(Model, {"width": 3}).width == 3


def test_hyper_parameters_from_a_file() -> None:
    path = trained(model=Trained)
    file = write("hparams.yaml", {"width": 1, "act": RELU, "_instantiator": OURS})
    assert isinstance(Trained.load_from_checkpoint(path, hparams_file=file).act, nn.ReLU)
