"""Where a configuration comes from, and which of its sources wins; what it is shown and printed as."""

from __future__ import annotations

import json
from typing import Any

import jsonargparse
import pytest
import yaml

from helpers_cli import Deeper, Model, Trained, build, path_of, run, write
from leyden.cli import LightningCLI


def printed(capsys: Any, *args: str, **options: Any) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(*args, **options)
    assert stopped.value.code == 0
    return str(capsys.readouterr().out)


def test_files_in_yaml_and_json_and_the_last_wins() -> None:
    first = write("a.yaml", {"model": {"width": 2, "lr": 0.5}})
    second = write("b.json", json.dumps({"model": {"width": 3}}))
    model = build("--config", first, "-c", second).model
    assert (model.width, model.lr) == (3, 0.5)
    assert build("--model.width=9", f"--config={second}").model.width == 3
    assert build("--config", second, "--model.width=9").model.width == 9


def test_parts_from_files_of_their_own() -> None:
    built = build("--model", write("m.yaml", {"width": 4}), "--trainer", write("t.yaml", {"max_steps": 3}))
    assert (built.model.width, built.trainer.max_steps) == (4, 3)


def test_text_in_the_place_of_a_file() -> None:
    assert build("--model", "{width: 5}").model.width == 5


def test_one_file_for_all_sub_commands() -> None:
    file = write("all.yaml", {"fit": {"model": {"width": 2}}, "validate": {"model": {"width": 3}}})
    assert run("--config", file, "fit").model.width == 2
    assert run("--config", file, "validate", save_config_callback=None).model.width == 3


def test_default_files_for_all_and_for_one_sub_command() -> None:
    everywhere = write("d.yaml", {"model": {"width": 2}})
    assert build(parser_kwargs={"default_config_files": [everywhere]}).model.width == 2
    options = {"parser_kwargs": {"fit": {"default_config_files": [everywhere]}}, "save_config_callback": None}
    assert run("fit", **options).model.width == 2
    assert run("validate", **options).model.width == 1


def test_the_order_of_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code, default files, PL_FIT__CONFIG, single variables, the command line."""
    default = write("d.yaml", {"model": {"width": 2}})
    options = {"parser_kwargs": {"default_env": True, "fit": {"default_config_files": [default]}}}

    def width(*args: str) -> int:
        return int(run("fit", *args, save_config_callback=None, **options).model.width)

    assert width() == 2
    monkeypatch.setenv("PL_FIT__CONFIG", write("e.yaml", {"model": {"width": 3}}))
    assert width() == 3
    monkeypatch.setenv("PL_FIT__MODEL__WIDTH", "4")
    assert width() == 4
    assert width("--model.width=5") == 5


def test_variables_count_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_MODEL__WIDTH", "4")
    monkeypatch.setenv("MY_MODEL__WIDTH", "6")
    assert build().model.width == 1
    assert build(parser_kwargs={"default_env": True}).model.width == 4
    assert build(parser_kwargs={"default_env": True, "env_prefix": "MY"}).model.width == 6


def test_variables_are_shown_in_the_help(capsys: Any) -> None:
    assert "PL_FIT__MODEL__WIDTH" in printed(capsys, "fit", "--help", parser_kwargs={"default_env": True})


def test_values_that_refer_to_each_other() -> None:
    pytest.importorskip("omegaconf")
    file = write("c.yaml", "model:\n  width: 3\n  lr: ${model.width}\n")
    assert build("--config", file, parser_kwargs={"parser_mode": "omegaconf+"}).model.lr == 3.0


def test_other_languages_by_the_parsers_mode() -> None:
    jsonargparse.set_loader("shout", lambda text: yaml.safe_load(text.lower()))
    assert build("--model", "{WIDTH: 7}", parser_kwargs={"parser_mode": "shout"}).model.width == 7


# -- help and --print_config --------------------------------------------------------------------------------------------


class NotBuilt(Trained):
    def __init__(self, width: int = 1) -> None:
        raise AssertionError("built")


def test_help_names_the_sub_commands_and_builds_nothing(capsys: Any) -> None:
    shown = " ".join(printed(capsys, "--help", model=NotBuilt).split())
    assert "{fit,validate,test,predict}" in shown
    assert "fit Train a module." in shown


def test_help_of_a_sub_command_comes_from_docstrings_and_types(capsys: Any) -> None:
    shown = " ".join(printed(capsys, "fit", "--help").split())
    assert "--model.width WIDTH How wide the layer is. (type: int, default: 1)" in shown
    assert "--data.batch_size BATCH_SIZE Samples in a batch." in shown
    assert "--optimizer.help" in shown and "--lr_scheduler.help" in shown
    assert "--ckpt_path" in shown and "--weights_only" in shown and "--verbose" not in shown
    assert "--verbose" in printed(capsys, "validate", "--help")
    assert "--return_predictions" in printed(capsys, "predict", "--help")


def test_help_of_a_class(capsys: Any) -> None:
    assert "--model.depth" in printed(capsys, "fit", f"--model.help={path_of(Deeper)}", model=None)
    assert "--trainer.callbacks.patience" in printed(capsys, "fit", "--trainer.callbacks.help", "EarlyStopping")
    assert "--optimizer.momentum" in printed(capsys, "fit", "--optimizer.help=SGD")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # skip_null is skip_unset in newer jsonargparse
def test_the_configuration_is_printed_and_nothing_built(capsys: Any) -> None:
    text = printed(capsys, "fit", "--model.width=3", "--print_config", model=NotBuilt)
    config = yaml.safe_load(text)
    assert config["model"] == {"width": 3} and config["trainer"]["precision"] is None
    assert run("fit", "--config", write("c.yaml", text)).model.width == 3
    assert "precision" not in printed(capsys, "fit", "--print_config=skip_null")
    assert yaml.safe_load(printed(capsys, "fit", "--model.width=3", "--print_config=skip_default")) == {
        "model": {"width": 3}
    }
    chosen = yaml.safe_load(
        printed(capsys, "fit", "--model=Deeper", "--print_config", model=Model, subclass_mode_model=True)
    )
    assert chosen["model"]["init_args"]["depth"] == 1


def test_a_missing_or_unknown_sub_command(capsys: Any) -> None:
    for args, said in (((), "subcommand"), (("ft",), "invalid choice: 'ft'")):
        with pytest.raises(SystemExit) as stopped:
            run(*args)
        assert stopped.value.code == 2 and said in capsys.readouterr().err


def test_an_error_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSONARGPARSE_DEBUG", "1")
    with pytest.raises(jsonargparse.ArgumentError):
        build("--model.width=wide")


def test_arguments_of_the_parser_reach_it(capsys: Any) -> None:
    options = {"parser_kwargs": {"description": "Mine.", "fit": {"dump_header": ["made here"]}}}
    assert "Mine." in printed(capsys, "--help", **options)
    assert printed(capsys, "fit", "--print_config", **options).startswith("# made here")
    with pytest.raises(TypeError, match="descriptionn"):
        build(parser_kwargs={"descriptionn": "x"})
    assert LightningCLI.subcommands().keys() == {"fit", "validate", "test", "predict"}
