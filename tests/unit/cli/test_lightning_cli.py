"""Building: the constructor, defaults, seeds, classes, links, hooks."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from jsonargparse import Namespace, lazy_instance
from torch import nn

import leyden as pl
from helpers_cli import QUIET, Data, Deeper, FourSamples, Model, Trained, build, path_of, run
from leyden.cli import LightningArgumentParser, LightningCLI, LRSchedulerCallable, OptimizerCallable, SaveConfigCallback
from leyden.errors import LightningDeprecationWarning


def test_the_constructor() -> None:
    parameters = list(inspect.signature(LightningCLI).parameters.values())
    shown = {p.name: p.default for p in parameters if p.default is not p.empty}
    assert shown == {
        "model_class": None,
        "datamodule_class": None,
        "save_config_callback": SaveConfigCallback,
        "save_config_kwargs": None,
        "trainer_class": pl.Trainer,
        "trainer_defaults": None,
        "seed_everything_default": True,
        "parser_kwargs": None,
        "parser_class": LightningArgumentParser,
        "subclass_mode_model": False,
        "subclass_mode_data": False,
        "args": None,
        "run": True,
        "auto_configure_optimizers": True,
        "load_from_checkpoint_support": True,
        "allowed": (),
    }
    assert list(shown) == [p.name for p in parameters][: len(shown)]


def test_building_without_running() -> None:
    built = build("--model.width=3", "--data.batch_size=4", datamodule_class=Data)
    assert (built.model.width, built.datamodule.batch_size) == (3, 4)
    assert isinstance(built.trainer, pl.Trainer) and built.subcommand is None
    assert built.config.model.width == 3 and built.config_init.model is built.model
    assert build().datamodule is None
    built.trainer.fit(built.model, built.datamodule)
    assert built.trainer.global_step == 1


def test_arguments_may_be_separate_or_joined_and_the_last_wins() -> None:
    assert build("--model.width", "2", "--model.width=3").model.width == 3


@pytest.mark.parametrize("args", [["--model.width=9"], {"model": {"width": 9}}, Namespace(model=Namespace(width=9))])
def test_arguments_from_python(args: Any) -> None:
    assert build(args=args).model.width == 9


def test_arguments_from_python_and_the_command_line_are_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["main.py", "--other"])
    with pytest.warns(UserWarning, match="those of the command line are ignored"):
        assert build("--model.width=2").model.width == 2


def test_the_command_line_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["main.py", "--model.width=4"])
    assert build(args=None).model.width == 4


# -- seeds --------------------------------------------------------------------------------------------------------------


def seeded(*args: str, default: Any = True) -> tuple[Any, float]:
    built = build(*args, seed_everything_default=default)
    return built.config.seed_everything, built.model.layer.weight[0, 0].item()


def test_the_seed_is_set_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(7)
    expected = nn.Linear(2, 1).weight[0, 0].item()
    assert seeded("--seed_everything=7") == seeded(default=7) == (7, expected)
    assert seeded()[0] == 7, "PL_GLOBAL_SEED, which the last one set"
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert seeded()[0] == 0


def test_without_a_seed_nothing_is_drawn_or_set() -> None:
    torch.manual_seed(5)
    expected = nn.Linear(2, 1).weight[0, 0].item()
    for args, default in (((), False), (("--seed_everything=false",), True)):
        torch.manual_seed(5)
        assert seeded(*args, default=default) == (False, expected)


def test_a_seed_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="`seed_everything_default` got 'x'"):
        build(seed_everything_default="x")
    with pytest.warns(LightningDeprecationWarning, match="seed_everything_default=False"):
        assert build(seed_everything_default=None).config.seed_everything is False


# -- classes ------------------------------------------------------------------------------------------------------------


def test_a_sub_class_is_chosen_by_name_or_path() -> None:
    for name in ("Deeper", path_of(Deeper)):
        for options in ({"model": None}, {"model": Model, "subclass_mode_model": True}):
            model = build(f"--model={name}", "--model.depth=3", "--model.width=2", **options).model
            assert type(model) is Deeper and (model.depth, model.width) == (3, 2)
    assert type(build("--data=FourSamples", "--data.batch_size=3").datamodule) is FourSamples


def test_a_model_must_be_chosen(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        build(model=None)
    assert "required: model" in capsys.readouterr().err


class Parts(Trained):
    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerCallable = torch.optim.SGD,
        scheduler: LRSchedulerCallable = torch.optim.lr_scheduler.ConstantLR,
        extra: Any = None,
        head: nn.Module = lazy_instance(nn.Linear, in_features=1, out_features=2),  # noqa: B008
    ) -> None:
        super().__init__()
        self.net, self.optimizer, self.scheduler, self.extra, self.head = net, optimizer, scheduler, extra, head


class Outer(nn.Module):
    def __init__(self, inner: nn.Module, **kwargs: Any) -> None:
        super().__init__()
        self.inner, self.kwargs = inner, kwargs


def test_objects_within_objects() -> None:
    net = {"class_path": path_of(Outer), "init_args": {"inner": {"class_path": "torch.nn.ReLU"}},
           "dict_kwargs": {"anything": 3}}  # fmt: skip
    model = build(model=Parts, args={"model": {"net": net, "extra": {"class_path": "torch.nn.Tanh"}}}).model
    assert isinstance(model.net.inner, nn.ReLU) and model.net.kwargs == {"anything": 3}
    assert isinstance(model.extra, nn.Tanh)
    assert model.head.out_features == 2


def test_optimizers_and_schedulers_as_arguments_are_made_later() -> None:
    args = ["--model.optimizer=Adam", "--model.optimizer.lr=0.5", "--model.scheduler=StepLR"]
    model = build(*args, "--model.scheduler.step_size=3", "--model.net=torch.nn.ReLU", model=Parts).model
    optimizer = model.optimizer(model.parameters())
    assert isinstance(optimizer, torch.optim.Adam) and optimizer.defaults["lr"] == 0.5
    assert model.scheduler(optimizer).step_size == 3


def make(width: int = 1) -> Trained:
    return Trained(width=width)


def make_trainer(max_steps: int = 5, callbacks: Any = None) -> pl.Trainer:
    return pl.Trainer(max_steps=max_steps, logger=False, callbacks=callbacks)


def test_functions_that_return_model_or_trainer() -> None:
    assert build("--model.width=6", model=make).model.width == 6
    assert build("--trainer.max_steps=3", trainer_class=make_trainer, trainer_defaults=None).trainer.max_steps == 3


def test_callbacks_are_appended_one_by_one() -> None:
    args = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=loss", "--trainer.callbacks.patience=5"]
    callbacks = build(*args, "--trainer.callbacks+=Timer").trainer.callbacks
    assert [type(c).__name__ for c in callbacks][:3] == ["EarlyStopping", "Timer", "SaveConfigCallback"]
    assert callbacks[0].patience == 5


# -- defaults and the Trainer -------------------------------------------------------------------------------------------


def test_trainer_defaults_and_callbacks_that_are_always_there() -> None:
    stopping = pl.callbacks.EarlyStopping("loss")
    defaults = {**QUIET, "max_epochs": 7, "callbacks": stopping}
    built = build("--trainer.callbacks+=Timer", trainer_defaults=defaults)
    assert built.trainer.max_epochs == 7
    assert [type(c).__name__ for c in built.trainer.callbacks][:2] == ["Timer", "EarlyStopping"]
    assert stopping in build(trainer_defaults={**defaults, "callbacks": [stopping]}).trainer.callbacks
    assert build("--trainer.max_epochs=2", trainer_defaults=defaults).trainer.max_epochs == 2


class WithMore(pl.Trainer):
    def __init__(self, mine: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mine = mine


def test_a_trainer_of_ones_own() -> None:
    trainer = build("--trainer.mine=4", "--trainer.max_steps=3", trainer_class=WithMore).trainer
    assert (type(trainer), trainer.mine, trainer.max_steps) == (WithMore, 4, 3)


def test_arguments_that_win_over_the_configuration() -> None:
    class Limited(LightningCLI):
        def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
            return super().instantiate_trainer(**kwargs, max_steps=9)

    assert build(cli=Limited).trainer.max_steps == 9


# -- extension ----------------------------------------------------------------------------------------------------------


class Extended(LightningCLI):
    calls: list[str]

    def add_arguments_to_parser(self, parser: Any) -> None:
        self.calls = []
        parser.add_argument("--email", default="none")
        parser.add_lightning_class_args(pl.callbacks.EarlyStopping, "stopping")
        parser.set_defaults({"stopping.monitor": "loss", "stopping.patience": 7})
        parser.link_arguments("data.batch_size", "model.width")
        parser.link_arguments(("data.batch_size", "stopping.patience"), "model.lr", compute_fn=lambda a, b: a + b + 0.5)

    def before_instantiate_classes(self) -> None:
        assert not hasattr(self, "model")
        self.calls.append("before_instantiate")

    def after_instantiate_classes(self) -> None:
        self.calls.append(f"after_instantiate {self.model.width}")

    def before_fit(self) -> None:
        self.calls.append(f"before_fit {self.config['fit']['email']}")

    def after_fit(self) -> None:
        self.calls.append(f"after_fit {self.trainer.global_step}")


def test_arguments_defaults_links_and_forced_callbacks() -> None:
    built = build("--email=me", "--stopping.patience=3", "--data.batch_size=4", cli=Extended, datamodule_class=Data)
    assert (built.config.email, built.model.width, built.model.lr) == ("me", 4, 7.5)
    (stopping,) = [c for c in built.trainer.callbacks if isinstance(c, pl.callbacks.EarlyStopping)]
    assert (stopping.patience, stopping.monitor) == (3, "loss")


def test_a_link_that_needs_an_object() -> None:
    class Linked(LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.link_arguments("data.classes", "model.width", apply_on="instantiate")

    assert build(cli=Linked, datamodule_class=Data).model.width == 5


def test_a_linked_argument_cannot_be_given(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        build("--model.width=3", cli=Extended, datamodule_class=Data)
    assert "model.width" in capsys.readouterr().err


def test_hooks_around_building_and_running() -> None:
    done = run("fit", cli=Extended)
    assert done.calls == ["before_instantiate", "after_instantiate 2", "before_fit none", "after_fit 2"]


# -- names of 1.x -------------------------------------------------------------------------------------------------------


def test_arguments_of_1_x_are_translated() -> None:
    old = {
        "save_config_filename": "a.yaml",
        "save_config_overwrite": True,
        "save_config_multifile": True,
        "description": "A program",
        "env_prefix": "MY",
        "env_parse": True,
    }
    with pytest.warns(LightningDeprecationWarning) as warned:
        built = build(**old)
    assert len(warned) == len(old)
    assert "save_config_kwargs={'config_filename': 'a.yaml'}" in str(warned[0].message)
    assert built.save_config_kwargs == {"config_filename": "a.yaml", "overwrite": True, "multifile": True}
    assert (built.parser.description, built.parser.env_prefix, built.parser.default_env) == ("A program", "MY", True)


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises(TypeError, match="'model_clas'. Did you mean 'model_class'"):
        build(model_clas=Model)
