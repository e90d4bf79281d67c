"""Mistakes about the command line."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch

from leyden.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback, allow_imports, instantiate_class
from leyden.errors import MisconfigurationException
from mistakes.kit import Model, loader, mistake


class Sized(Model):
    def __init__(self, width: int = 1, net: torch.nn.Module | None = None) -> None:
        super().__init__()

    def val_dataloader(self) -> Any:
        return loader()


def build(*args: str, cli: type[LightningCLI] = LightningCLI, **options: Any) -> None:
    cli(Sized, **{"run": False, "seed_everything_default": False, "args": list(args), **options})


def said(*args: str, **options: Any) -> None:
    """Build; what the program ends with is raised with what it printed."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            build(*args, **options)
    except SystemExit as end:
        raise SystemExit(printed.getvalue().strip()) from end


@mistake(SystemExit, "--model.wdth", "Did you mean 'model.width'")
def misspelt_option() -> None:
    said("--model.wdth=3")


@mistake(SystemExit, "max_epocs", "Did you mean 'trainer.max_epochs'")
def misspelt_key_in_a_file() -> None:
    Path("c.yaml").write_text("trainer: {max_epocs: 3}")
    said("--config=c.yaml")


@mistake(SystemExit, "EarlyStoping", "Did you mean 'EarlyStopping'")
def misspelt_class() -> None:
    said("--trainer.callbacks=EarlyStoping", trainer_defaults={"max_epochs": 1})


@mistake(SystemExit, "'ft'", "fit", "--help")
def misspelt_sub_command() -> None:
    said("ft", run=True)


@mistake(SystemExit, "model.width", "int", "wide", "--help")
def option_of_another_type() -> None:
    said("--model.width=wide")


@mistake(SystemExit, "absent.yaml", "does not exist", "--help")
def file_that_is_not_there() -> None:
    said("--config=absent.yaml")


@mistake(SystemExit, "os.system", "allowed=", "Nothing was imported")
def class_outside_the_program() -> None:
    said("--model.net={class_path: os.system}")


@mistake(SystemExit, "required: model", "--help")
def no_model_chosen() -> None:
    said(subclass_mode_model=True)


@mistake(ImportError, "`class_path` got 'shutil.rmtree'", "allow_imports")
def instantiating_a_class_outside_the_program() -> None:
    instantiate_class("data", {"class_path": "shutil.rmtree"})


@mistake(ValueError, "`class_path` got 'Adam'", "torch.optim.Adam")
def instantiating_by_a_short_name() -> None:
    instantiate_class([torch.zeros(1)], {"class_path": "Adam"})


@mistake(ValueError, r"`allowed` got '\*'", "names of packages")
def allowing_everything() -> None:
    allow_imports("*")


@mistake(TypeError, "model_clas", "Did you mean 'model_class'")
def misspelt_argument_of_the_cli() -> None:
    build(model_clas=Model)


@mistake(ValueError, "`seed_everything_default` got 'random'", "a seed")
def seed_that_is_no_number() -> None:
    build(seed_everything_default="random")


@mistake(MisconfigurationException, "`lightning_class` got", "LightningDataModule")
def arguments_of_a_plain_module() -> None:
    LightningArgumentParser().add_lightning_class_args(torch.nn.Linear, "model")


@mistake(MisconfigurationException, "optimizer class` got", "Optimizer")
def a_module_as_optimizer() -> None:
    LightningArgumentParser().add_optimizer_args(torch.nn.Linear)


class TwoOptimizers(LightningCLI):
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_optimizer_args(torch.optim.SGD)
        parser.add_optimizer_args(torch.optim.Adam, nested_key="second")


@mistake(MisconfigurationException, "'optimizer', 'second'", "link_to=")
def two_optimizers_that_are_not_linked() -> None:
    build(cli=TwoOptimizers)


@mistake(ValueError, "save_to_log_dir=False", "override `save_config`")
def saving_the_configuration_nowhere() -> None:
    SaveConfigCallback(LightningArgumentParser(), None, save_to_log_dir=False)


@mistake(RuntimeError, "config.yaml", "overwrite", "delete it")
def configuration_of_another_run_in_the_way() -> None:
    Path("config.yaml").write_text("mine: 1")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "max_epochs": 1}
    build("validate", run=True, trainer_defaults=quiet)
