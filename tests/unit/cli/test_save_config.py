from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import leyden as pl
from helpers_cli import QUIET, FourSamples, Trained, build, path_of, run, write
from leyden.cli import SaveConfigCallback

LOGGED = ("--trainer.logger=leyden.loggers.CSVLogger", "--trainer.logger.save_dir=logs")
SAVED = Path("logs/lightning_logs/version_0/config.yaml")


def test_the_configuration_is_saved_beside_the_logs_before_training() -> None:
    seen: list[bool] = []

    class Looks(pl.Callback):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            seen.append(SAVED.exists())

    done = run("fit", "--model.width=3", *LOGGED, trainer_defaults={**QUIET, "callbacks": Looks()})
    assert seen == [True]
    saved = yaml.safe_load(SAVED.read_text())
    assert saved["model"]["width"] == 3 and saved["trainer"]["max_epochs"] == 1
    assert saved["ckpt_path"] is None
    assert SAVED.read_text().startswith(f"# leyden=={pl.__version__}\n")
    again = run("fit", "--config", str(SAVED), "--trainer.logger.save_dir=other")
    assert again.model.width == 3
    assert done.trainer.log_dir == str(SAVED.parent)


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_every_sub_command_saves_it(command: str) -> None:
    run(command, *LOGGED)
    assert SAVED.exists()


def test_without_a_logger_it_goes_to_the_root_folder() -> None:
    run("fit", "--trainer.default_root_dir=root")
    assert Path("root/config.yaml").exists()


def test_row_108_an_existing_file_is_not_replaced() -> None:
    write("config.yaml", "mine: 1")
    with pytest.raises(RuntimeError, match="expected '.*config.yaml' not to exist"):
        run("fit")
    assert Path("config.yaml").read_text() == "mine: 1"
    run("fit", save_config_kwargs={"overwrite": True})
    assert "mine" not in Path("config.yaml").read_text()
    run("fit", save_config_kwargs={"config_filename": "other.yaml"})
    assert Path("other.yaml").exists()


def test_none_is_saved_when_switched_off_or_in_a_fast_run() -> None:
    run("fit", save_config_callback=None)
    run("fit", "--trainer.fast_dev_run=true")
    assert not Path("config.yaml").exists()


def test_it_is_saved_once_per_trainer() -> None:
    done = run("fit")
    (callback,) = [c for c in done.trainer.callbacks if isinstance(c, SaveConfigCallback)]
    assert callback.already_saved
    done.trainer.fit(done.model, done.datamodule)


class Elsewhere(SaveConfigCallback):
    def save_config(self, trainer: Any, pl_module: Any, stage: str) -> None:
        Path("elsewhere.txt").write_text(f"{stage} {self.config.model.width} {self.parser.dump(self.config)[:6]}")


def test_a_sub_class_saves_it_elsewhere() -> None:
    run("fit", "--model.width=4", save_config_callback=Elsewhere, save_config_kwargs={"save_to_log_dir": False})
    assert Path("elsewhere.txt").read_text() == "fit 4 # leyd"
    assert not Path("config.yaml").exists()


def test_saving_nowhere_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="override `save_config`"):
        build(save_config_kwargs={"save_to_log_dir": False})


def test_parts_that_came_from_files_are_saved_as_files() -> None:
    write("model.yaml", {"width": 6})
    run("fit", "--model=model.yaml", "--trainer.default_root_dir=root", save_config_kwargs={"multifile": True})
    assert yaml.safe_load(Path("root/model.yaml").read_text())["width"] == 6
    assert yaml.safe_load(Path("root/config.yaml").read_text())["model"] == "model.yaml"


def test_classes_are_saved_with_their_full_paths() -> None:
    run(
        "fit", "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=loss", "--data=FourSamples", data=None
    )
    saved = yaml.safe_load(Path("config.yaml").read_text())
    assert saved["trainer"]["callbacks"][0]["class_path"] == "leyden.callbacks.EarlyStopping"
    assert saved["data"]["class_path"] == path_of(FourSamples)
    assert saved["optimizer"] is None
    assert Trained.__name__ == "Trained"
