"""Running: sub-commands, optimizers of the configuration, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import leyden as pl
from helpers_cli import QUIET, Data, Deeper, Model, Trained, build, path_of, run, write
from leyden.cli import LightningCLI, instantiate_class
from leyden.errors import MisconfigurationException


def test_each_sub_command_runs_its_method(capsys: Any) -> None:
    assert run("fit").trainer.global_step == 2
    done = run("validate", "--verbose=false", save_config_callback=None)
    assert capsys.readouterr().out == "" and "loss" in done.trainer.callback_metrics
    assert "loss" in run("test", save_config_callback=None).trainer.callback_metrics
    assert "loss" in capsys.readouterr().out
    assert run("predict", "--return_predictions=false", save_config_callback=None).subcommand == "predict"


def test_model_and_data_module_that_are_chosen_both_keep_their_class() -> None:
    chosen = {"subclass_mode_model": True, "subclass_mode_data": True}
    defaults = {**QUIET, "logger": {"class_path": "leyden.loggers.CSVLogger", "init_args": {"save_dir": "."}}}
    done = run("fit", f"--model={path_of(Trained)}", f"--data={path_of(Data)}", trainer_defaults=defaults, **chosen)
    assert "batch_size: 2" in Path(done.trainer.log_dir, "hparams.yaml").read_text()


class Own(LightningCLI):
    def fit(self, model: Any, **kwargs: Any) -> None:
        self.given = (model, kwargs)


def test_the_help_shows_no_markup(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        run("--help")
    shown = capsys.readouterr().out
    assert "validate" in shown and "`" not in shown


def test_a_method_of_the_command_line_takes_the_place_of_the_trainers() -> None:
    done = run("fit", cli=Own)
    assert done.given == (done.model, {"ckpt_path": None, "weights_only": None, "datamodule": done.datamodule})
    assert "datamodule" not in run("fit", cli=Own, data=None).given[1]


class WithGo(pl.Trainer):
    def go(self, model: Any, times: int = 3) -> None:
        """Go somewhere."""
        self.gone = (model, times)


class Going(LightningCLI):
    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {**LightningCLI.subcommands(), "go": {"model"}}


def test_a_sub_command_of_ones_own() -> None:
    done = run("go", "--times=8", cli=Going, trainer_class=WithGo, data=None)
    assert done.trainer.gone == (done.model, 8)


# -- optimizers ---------------------------------------------------------------------------------------------------------


def configured(*args: str, **options: Any) -> Any:
    return build(*args, **{"model": Model, **options}).model.configure_optimizers()


def test_an_optimizer_is_chosen() -> None:
    optimizer = configured("--optimizer=Adam", "--optimizer.lr=0.5")
    assert isinstance(optimizer, torch.optim.Adam) and optimizer.defaults["lr"] == 0.5
    done = run("fit", "--optimizer=SGD", "--optimizer.lr=0.25", model=Model)
    assert done.trainer.optimizers[0].param_groups[0]["lr"] == 0.25


def test_an_optimizer_and_a_scheduler_are_chosen() -> None:
    (optimizer,), (scheduler,) = configured("--optimizer=SGD", "--lr_scheduler=StepLR", "--lr_scheduler.step_size=2")
    assert scheduler.optimizer is optimizer and scheduler.step_size == 2
    plateau = configured("--optimizer=SGD", "--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=loss")
    assert plateau["lr_scheduler"]["monitor"] == "loss"
    done = run("fit", "--optimizer=SGD", "--lr_scheduler=ExponentialLR", "--lr_scheduler.gamma=0.5", model=Model)
    assert done.trainer.optimizers[0].param_groups[0]["lr"] == 0.0005


def test_the_models_own_is_replaced_with_a_warning_and_kept_if_none_is_chosen() -> None:
    with pytest.warns(UserWarning, match="takes the place of `Trained.configure_optimizers`"):
        assert isinstance(configured("--optimizer=Adam", model=Trained), torch.optim.Adam)
    assert configured("--model.lr=0.5", model=Trained).defaults["lr"] == 0.5
    with pytest.warns(UserWarning, match="no optimizer: it is not used"):
        configured("--lr_scheduler=StepLR", "--lr_scheduler.step_size=2", model=Trained)


class OneOptimizer(LightningCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.add_optimizer_args(torch.optim.Adam)
        parser.add_lr_scheduler_args(torch.optim.lr_scheduler.ExponentialLR)

    @staticmethod
    def configure_optimizers(lightning_module: Any, optimizer: Any, lr_scheduler: Any = None) -> Any:
        return {"optimizer": optimizer, "lr_scheduler": lr_scheduler}


def test_one_class_of_optimizer_whose_use_is_overridden() -> None:
    made = configured("--optimizer.lr=0.5", "--lr_scheduler.gamma=0.2", cli=OneOptimizer)
    assert isinstance(made["optimizer"], torch.optim.Adam) and made["lr_scheduler"].gamma == 0.2


class Two(Model):
    def __init__(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        super().__init__()
        self.first, self.second = first, second

    def configure_optimizers(self) -> Any:
        return [instantiate_class(self.parameters(), init) for init in (self.first, self.second)]


class Linked(LightningCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.add_optimizer_args(nested_key="one", link_to="model.first")
        parser.add_optimizer_args(torch.optim.SGD, nested_key="two", link_to="model.second")


def test_several_optimizers_are_linked_to_arguments() -> None:
    first, second = configured("--one=Adam", "--one.lr=0.5", "--two.lr=0.25", model=Two, cli=Linked)
    assert (type(first), first.defaults["lr"]) == (torch.optim.Adam, 0.5)
    assert (type(second), second.defaults["lr"]) == (torch.optim.SGD, 0.25)


class TwoAutomatic(LightningCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.add_optimizer_args(torch.optim.SGD)
        parser.add_optimizer_args(torch.optim.Adam, nested_key="other")


def test_two_that_are_not_linked_are_a_mistake() -> None:
    with pytest.raises(MisconfigurationException, match=r"\['optimizer', 'other', 'lr_scheduler'\]"):
        build(cli=TwoAutomatic)


def test_without_automatic_optimizers_there_are_no_such_options() -> None:
    built = build(auto_configure_optimizers=False)
    assert "optimizer" not in built.config and "lr_scheduler" not in built.config


# -- checkpoints --------------------------------------------------------------------------------------------------------


SAME = ("--trainer.enable_checkpointing=true", "--trainer.default_root_dir=first")


def checkpoint(*args: str, **options: Any) -> str:
    run("fit", *args, *SAME, **options)
    return str(next(Path("first/checkpoints").glob("*.ckpt")))


def test_row_109_hyper_parameters_of_the_checkpoint_win() -> None:
    path = checkpoint("--model.width=7", "--model.act=torch.nn.ReLU")
    done = run("validate", f"--ckpt_path={path}")
    assert done.model.width == 7 and isinstance(done.model.act, nn.ReLU)
    assert done.config.validate.model.width == 7
    assert run("test", f"--ckpt_path={path}", "--model.width=3", save_config_callback=None).model.width == 7


class OfOneDict(Trained):
    def __init__(self, cfg: dict[str, Any]) -> None:
        super().__init__()
        self.hparams.clear()
        self.save_hyperparameters(cfg)
        self.cfg = cfg


def test_hyper_parameters_that_one_argument_held_go_to_it() -> None:
    path = checkpoint("--model.cfg={lr: 0.5}", model=OfOneDict)
    assert run("validate", f"--ckpt_path={path}", "--model.cfg={}", model=OfOneDict).model.cfg == {"lr": 0.5}


def test_a_run_is_resumed() -> None:
    path = checkpoint("--model.width=2")
    done = run("fit", f"--ckpt_path={path}", *SAME, "--trainer.max_epochs=2", save_config_callback=None)
    assert done.trainer.global_step == 4 and done.model.width == 2


def test_the_chosen_class_comes_from_the_checkpoint() -> None:
    options = {"model": Model, "subclass_mode_model": True}
    path = checkpoint(f"--model={path_of(Deeper)}", "--model.depth=4", **options)
    done = run("validate", f"--model={path_of(Deeper)}", f"--ckpt_path={path}", **options)
    assert (type(done.model), done.model.depth) == (Deeper, 4)


class LinkedData(LightningCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.link_arguments("data.batch_size", "model.width")


def test_linked_arguments_stay_linked() -> None:
    path = checkpoint("--data.batch_size=4", cli=LinkedData)
    assert run("validate", f"--ckpt_path={path}", "--data.batch_size=4", cli=LinkedData).model.width == 4


def test_hyper_parameters_that_do_not_fit_end_the_program(capsys: Any) -> None:
    path = checkpoint()
    saved = torch.load(path, weights_only=True)
    saved["hyper_parameters"] = {"wide": 3}
    torch.save(saved, "other.ckpt")
    with pytest.raises(SystemExit) as stopped:
        run("validate", "--ckpt_path=other.ckpt", save_config_callback=None)
    assert stopped.value.code == 2
    assert "do not fit the model" in capsys.readouterr().err


def test_unpickling_is_asked_for_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint()
    run("validate", f"--ckpt_path={path}", "--weights_only=false")
    file = write("c.yaml", {"weights_only": False})
    with pytest.raises(SystemExit):
        run("validate", f"--ckpt_path={path}", "--config", file)
    monkeypatch.setenv("PL_VALIDATE__WEIGHTS_ONLY", "false")
    run("validate", f"--ckpt_path={path}", parser_kwargs={"default_env": True}, save_config_callback=None)


def test_data_are_optional_and_quiet_defaults_hold() -> None:
    class Loaded(Trained):
        train_dataloader = val_dataloader = Data.loader
        batch_size = 2

    assert run("fit", model=Loaded, data=None).trainer.max_epochs == QUIET["max_epochs"]
