from __future__ import annotations

import subprocess
import sys
from typing import Any

import fsspec
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

import leyden as pl
from helpers_cli import Data, Model, Trained, build, write
from leyden.cli import LightningArgumentParser, ReduceLROnPlateau
from leyden.errors import MisconfigurationException


def test_arguments_of_each_kind_of_object() -> None:
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    parser.add_lightning_class_args(Model, "model")
    parser.add_lightning_class_args(Data, "data")
    parser.add_lightning_class_args(pl.callbacks.EarlyStopping, "stopping")
    config = parser.parse_args(["--trainer.max_epochs=3", "--model.width=2", "--stopping.monitor=loss"])
    assert (config.trainer.max_epochs, config.model.width, config.data.batch_size) == (3, 2, 2)
    assert parser.callback_keys == ["stopping"]
    built = parser.instantiate(config)
    assert isinstance(built.model, Model) and isinstance(built.stopping, pl.callbacks.EarlyStopping)
    assert built.trainer.max_epochs == 3, "the Trainer is built last, not here"


def make(width: int = 3) -> Model:
    return Model(width=width)


def test_a_function_that_returns_one_counts_as_its_class() -> None:
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(make, "model")
    assert parser.instantiate(parser.parse_args(["--model.width=4"])).model.width == 4


@pytest.mark.parametrize("given", [dict, 3, nn.Linear])
def test_other_classes_are_refused(given: Any) -> None:
    with pytest.raises(MisconfigurationException, match="`lightning_class` got"):
        LightningArgumentParser().add_lightning_class_args(given, "x")


def test_the_trainers_arguments_are_those_of_its_signature_with_types_and_help(capsys: Any) -> None:
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(pl.Trainer, "trainer")
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--help"])
    assert stopped.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--trainer.max_epochs MAX_EPOCHS Stop after so many epochs" in shown
    assert "(type: int | null, default: null)" in shown
    assert "Unvalidated" not in shown
    assert "leyden.callbacks.EarlyStopping" in shown, "classes that can be chosen"


def test_optimizers_and_schedulers_leave_out_what_is_known_later() -> None:
    parser = LightningArgumentParser()
    parser.add_optimizer_args(torch.optim.SGD)
    parser.add_lr_scheduler_args(StepLR, nested_key="steps", link_to="model.x")
    config = parser.parse_args(["--optimizer.lr=0.5", "--steps.step_size=2"])
    assert config.optimizer.lr == 0.5 and "params" not in config.optimizer
    assert config.steps.gamma == 0.1 and "optimizer" not in config.steps
    assert parser.schedulers == {"steps": (StepLR, "model.x")}


def test_a_sub_class_of_several_may_be_chosen() -> None:
    parser = LightningArgumentParser()
    parser.add_optimizer_args((torch.optim.SGD, torch.optim.Adam))
    parser.add_lr_scheduler_args()
    config = parser.parse_args(["--optimizer=Adam", "--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=loss"])
    assert config.optimizer.class_path == "torch.optim.Adam"
    assert config.lr_scheduler.class_path == "leyden.cli.ReduceLROnPlateau"
    assert issubclass(ReduceLROnPlateau, torch.optim.lr_scheduler.ReduceLROnPlateau)
    with pytest.raises(SystemExit):
        parser.parse_args(["--optimizer=Adagrad"])


@pytest.mark.parametrize("classes", [nn.Linear, (torch.optim.SGD, nn.Linear), 3])
def test_what_is_no_optimizer_or_scheduler_is_refused(classes: Any) -> None:
    for add in (LightningArgumentParser().add_optimizer_args, LightningArgumentParser().add_lr_scheduler_args):
        with pytest.raises(MisconfigurationException, match="class` got"):
            add(classes)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--model.wdth=3"], "unrecognized arguments: --model.wdth=3. Did you mean 'model.width'?"),
        (["--trainer.max_epocs", "3"], "Did you mean 'trainer.max_epochs'?"),
        (["--model.width=wide"], "Expected a <class 'int'>"),
        (["--trainer.callbacks+=EarlyStoping"], "Did you mean 'EarlyStopping'?"),
        (["--optimizer=Adamm"], "Did you mean 'Adam'?"),
        (["--config=absent.yaml"], "File does not exist"),
    ],
)
def test_a_mistake_gets_a_short_message_and_code_2(args: list[str], said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        build(*args)
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "--help" in shown and len(shown.splitlines()) <= 20


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": {"wdith": 3}}, "Did you mean 'model.width'?"),
        ({"trainer": {"max_epocs": 3}}, "Did you mean 'trainer.max_epochs'?"),
        ({"modle": 3}, "Did you mean 'model'?"),
        ("model: [", "Problems parsing config"),
    ],
)
def test_a_mistake_in_a_file_likewise(content: Any, said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        build("--config", write("c.yaml", content))
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_configuration_from_a_url() -> None:
    fsspec.filesystem("memory").pipe_file("/c.yaml", b"model: {width: 7}\n")
    assert build("--config", "memory://c.yaml").model.width == 7


def test_an_address_within_a_file_is_not_followed(capsys: Any) -> None:
    fsspec.filesystem("memory").pipe_file("/net.yaml", b"class_path: torch.nn.ReLU\n")
    with pytest.raises(SystemExit):
        build("--config", write("c.yaml", {"model": {"act": "memory://net.yaml"}}))
    assert "memory://net.yaml" in capsys.readouterr().err


def test_as_plain_gives_plain_values() -> None:
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(Model, "model")
    plain = parser.as_plain(parser.parse_args(["--model.act=torch.nn.ReLU"]))
    assert plain["model"]["act"] == {"class_path": "torch.nn.ReLU", "init_args": {"inplace": False}}


def test_without_jsonargparse_the_message_says_how_to_install_it() -> None:
    code = "import sys; sys.modules['jsonargparse'] = None; import leyden; leyden.cli.LightningCLI"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "leyden[cli]"' in done.stderr
    assert Trained.__mro__[1] is Model
