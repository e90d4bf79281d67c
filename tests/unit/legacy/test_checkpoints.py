"""Files that releases of Lightning wrote (tests/data/written_by_lightning), and what becomes of them."""

from __future__ import annotations

import io
import re
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import trainer
from helpers_written_by_lightning import FILES, Model, loader, path
from leyden.callbacks import EarlyStopping, ModelCheckpoint
from leyden.checkpoint import file, scan
from leyden.errors import CheckpointError
from leyden.legacy.checkpoints import MIGRATIONS, known_classes, upgrade, writer

ENDED = ["0.7.6", "0.9.0", "1.2.10", "1.5.10", "1.6.5", "1.9.5", "2.6.6"]
IN_EPOCH = ["1.6.5-in-epoch", "1.9.5-in-epoch", "2.6.6-in-epoch"]
BEST = 0.10848


class OldModel(Model):
    """With one argument for all hyper-parameters, as in 0.x."""

    def __init__(self, hparams: Any) -> None:
        super().__init__(hparams.width, hparams.lr)
        self.given = hparams


def resume(name: str, max_epochs: int = 3) -> tuple[pl.Trainer, Model, EarlyStopping, ModelCheckpoint, list[str]]:
    """Continue a file; return what took part and the messages about what the file lacks."""
    model, stopping = Model(), EarlyStopping("val_loss")
    best = ModelCheckpoint(dirpath="/tmp/run/best", monitor="val_loss", save_top_k=0)
    runner = trainer(max_epochs=max_epochs, enable_checkpointing=True, callbacks=[stopping, best])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runner.fit(model, loader(), loader(), ckpt_path=path(name))
    lacks = [str(warning.message) for warning in caught if "was written by" in str(warning.message)]
    assert [w for w in caught if "states of callbacks that this Trainer does not have" in str(w.message)] == []
    return runner, model, stopping, best, lacks


@pytest.mark.parametrize("name", ENDED + IN_EPOCH)
def test_weights_and_hyper_parameters_are_read_without_running_code(name: str) -> None:
    model = Model.load_from_checkpoint(path(name))
    assert dict(model.hparams) == {"width": 2, "lr": 0.1}
    same = 0.4208008944988251 if name in ENDED else 0.3434184789657593
    assert model.layer.bias.item() == pytest.approx(same)


@pytest.mark.parametrize("name", ["0.7.6", "0.9.0"])
def test_an_argument_that_holds_all_hyper_parameters_gets_them(name: str) -> None:
    given = OldModel.load_from_checkpoint(path(name)).given
    assert (given.width, given.lr) == (2, 0.1)


@pytest.mark.parametrize("name", ENDED)
def test_fit_continues_with_the_next_epoch(name: str) -> None:
    runner, model, stopping, _, lacks = resume(name)
    assert model.trained == 4
    assert runner.current_epoch == 3
    # up to 1.5 a file that was written after the run counted one step too many
    assert runner.global_step == (13 if name in ENDED[:4] else 12)
    assert runner.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0125)
    assert stopping.patience == 3
    assert len(lacks) == 1


@pytest.mark.parametrize("name", IN_EPOCH)
def test_fit_continues_inside_the_epoch(name: str) -> None:
    runner, model, _, _, lacks = resume(name, max_epochs=2)
    assert model.trained == 2  # of four batches two were trained
    assert runner.global_step == 8
    assert "without random states" in lacks[0]


def test_all_releases_go_on_to_the_same_weights() -> None:
    results = [torch.cat([p.detach().flatten() for p in resume(name)[1].parameters()]) for name in ENDED]
    for result in results[1:]:
        assert torch.allclose(result, results[0], atol=1e-6)


@pytest.mark.parametrize("name", [name for name in ENDED if name != "0.7.6"])
def test_early_stopping_knows_its_best_score(name: str) -> None:
    model = Model()
    stopping = EarlyStopping("val_loss", patience=9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer(max_epochs=2, callbacks=[stopping]).fit(model, loader(), loader(), ckpt_path=path(name))
    assert stopping.best_score.item() == pytest.approx(BEST, abs=1e-4)
    assert stopping.patience == 3


@pytest.mark.parametrize("name", ENDED)
def test_model_checkpoint_knows_the_best_file(name: str) -> None:
    best = ModelCheckpoint(dirpath="/tmp/run/best", monitor="val_loss", save_top_k=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = trainer(max_epochs=2, enable_checkpointing=True, callbacks=[best])
        runner.fit(Model(), loader(), loader(), ckpt_path=path(name))
    if name != "0.7.6":
        assert best.best_model_path.startswith("/tmp/run/best/")
    assert float(best.best_model_score) == pytest.approx(BEST, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "0.7.6",
            "Lightning 0.7 or older, which did not save the position in an epoch .*, the best score of EarlyStopping",
        ),
        ("1.2.10", "Lightning 1.2.10, which did not save the position .*, the files that ModelCheckpoint kept"),
        (
            "1.5.10",
            r"Lightning 1.5.10, which did not save the position in an epoch \(training goes on with the next one\), without",
        ),
        ("1.9.5", "Lightning 1.9.5, without random states"),
        ("2.6.6", "Lightning 2.6.6, without random states"),
    ],
)
def test_one_message_says_what_is_missing(name: str, said: str) -> None:
    lacks = resume(name)[-1]
    assert len(lacks) == 1
    assert re.search(said, lacks[0])


@pytest.mark.parametrize("name", ENDED + IN_EPOCH)
def test_an_upgraded_file_has_todays_keys_and_is_written_again(name: str, tmp_path: Path) -> None:
    file.save(upgrade(file.load(path(name)))[0], tmp_path / "upgraded.ckpt")
    again = file.load(tmp_path / "upgraded.ckpt")
    assert {
        "epoch",
        "global_step",
        "state_dict",
        "loops",
        "callbacks",
        "optimizer_states",
        "lr_schedulers",
    } <= again.keys()
    assert "hparams" not in again
    assert again["hyper_parameters"] == {"width": 2, "lr": 0.1}
    assert all(isinstance(key, str) for key in again["callbacks"])
    assert not [key for key in again if key.startswith(("early_stop_callback", "checkpoint_callback"))]
    assert again["loops"]["fit_loop"].keys() == file.load(path("2.6.6"))["loops"]["fit_loop"].keys()
    if name[0] != "2":
        assert again["pytorch-lightning_version"] == "2.6.0"
        assert again["legacy_pytorch-lightning_version"] == (
            "0.0.0" if name == "0.7.6" else name.removesuffix("-in-epoch")
        )


def old(**keys: Any) -> dict[str, Any]:
    return {"state_dict": {}, "epoch": 1, "global_step": 4, **keys}


def test_the_dict_that_is_given_stays_as_it_was() -> None:
    given = old(hparams={"lr": 1}, callbacks={ModelCheckpoint: {"best_model_path": "a", "best_model_score": 1.0}})
    before = {**given, "callbacks": dict(given["callbacks"])}
    upgraded, notes = upgrade(given)
    assert given == before
    assert upgraded["callbacks"]["ModelCheckpoint"]["best_k_models"] == {"a": 1.0}
    assert any("`hparams`" in note for note in notes)


@pytest.mark.parametrize("version", ["2.0.0", "2.6.0", "3.1.4"])
def test_todays_checkpoints_are_left_alone(version: str) -> None:
    given = old(**{"pytorch-lightning_version": version})
    assert upgrade(given) == (given, [])
    assert upgrade(given)[0] is given


def test_hyper_parameters_of_0_8() -> None:
    upgraded, _ = upgrade(old(module_arguments={"lr": 0.5}))
    assert (upgraded["hyper_parameters"], upgraded["hparams_name"]) == ({"lr": 0.5}, "kwargs")


def test_hyper_parameters_become_plain_dicts() -> None:
    given = old(**{"pytorch-lightning_version": "1.4.0", "hyper_parameters": Namespace(model=Namespace(width=3))})
    assert upgrade(given)[0]["hyper_parameters"] == {"model": {"width": 3}}


@pytest.mark.parametrize("key", ["native_amp_scaling_state", "NativeMixedPrecisionPlugin", "MixedPrecisionPlugin"])
def test_the_scaler_is_found_under_its_old_names(key: str) -> None:
    upgraded, notes = upgrade(old(**{"pytorch-lightning_version": "1.7.0", key: {"scale": 2.0}}))
    assert upgraded["MixedPrecision"] == {"scale": 2.0}
    assert key in notes[0]


def test_a_scaler_of_apex_is_left_out() -> None:
    upgraded, notes = upgrade(old(**{"pytorch-lightning_version": "1.4.0", "amp_scaling_state": {"loss_scaler0": {}}}))
    assert "amp_scaling_state" not in upgraded
    assert any("apex" in note for note in notes)


def test_the_key_of_model_checkpoint_loses_an_argument() -> None:
    key = "ModelCheckpoint{'monitor': None, 'train_time_interval': None, 'save_on_train_epoch_end': True}"
    upgraded, _ = upgrade(old(**{"pytorch-lightning_version": "1.8.6", "callbacks": {key: {"best_model_path": ""}}}))
    assert list(upgraded["callbacks"]) == ["ModelCheckpoint{'monitor': None, 'train_time_interval': None}"]


def test_manual_optimization_keeps_its_steps_apart() -> None:
    steps = {"total": {"ready": 4, "completed": 4}, "current": {"ready": 4, "completed": 4}}
    loops = {"fit_loop": {"epoch_loop.batch_loop.manual_loop.optim_step_progress": steps}}
    upgraded, _ = upgrade(old(**{"pytorch-lightning_version": "1.9.5", "loops": loops}))
    fit_loop = upgraded["loops"]["fit_loop"]
    assert fit_loop["epoch_loop.manual_optimization.optim_step_progress"]["total"]["completed"] == 4
    assert fit_loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"] == 0


def test_migrations_are_in_the_order_of_versions() -> None:
    versions = [version for version, _ in MIGRATIONS]
    assert versions == sorted(versions)


def test_who_wrote_a_file() -> None:
    assert writer({"pytorch-lightning_version": "2.1.0"}) == "Lightning 2.1.0"
    assert writer({}) == "Lightning of an unknown version"


def pickled(text: str) -> io.BytesIO:
    """A checkpoint that asks for a class by name, as a pickle of that class would."""
    stream = io.BytesIO()
    torch.save({"state_dict": {}, "epoch": 0, "global_step": 0, "extra": Named(text)}, stream)
    stream.seek(0)
    return stream


class Named:
    """Pickles as an instance of a class of any name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return ALIASES[self.name], ()


ALIASES = {
    name: type(
        name.rpartition(".")[2], (), {"__module__": name.rpartition(".")[0], "__qualname__": name.rpartition(".")[2]}
    )
    for name in ("pytorch_lightning.callbacks.timer.Timer", "pytorch_lightning.trainer.trainer.Trainer")
}


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickle looks each class up where it says it is."""
    import sys
    from types import ModuleType

    for name, kind in ALIASES.items():
        parts = name.split(".")[:-1]
        for end in range(1, len(parts) + 1):
            module = sys.modules.get(".".join(parts[:end])) or ModuleType(".".join(parts[:end]))
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), module)
        monkeypatch.setattr(sys.modules[".".join(parts)], name.rpartition(".")[2], kind, raising=False)


@pytest.mark.usefixtures("importable")
def test_names_of_classes_that_run_nothing_are_read_as_plain_data() -> None:
    loaded = file.load(pickled("pytorch_lightning.callbacks.timer.Timer"))["extra"]
    assert type(loaded).__module__ == "leyden.legacy.checkpoints"


@pytest.mark.usefixtures("importable")
def test_other_names_are_refused_with_the_way_to_allow_them() -> None:
    with pytest.raises(CheckpointError, match=r"pytorch_lightning.trainer.trainer.Trainer.*weights_only=False"):
        file.load(pickled("pytorch_lightning.trainer.trainer.Trainer"))


def test_known_classes_are_allowed_while_a_file_is_read_and_not_after() -> None:
    before = set(torch.serialization.get_safe_globals())
    file.load(path("1.2.10"))
    assert set(torch.serialization.get_safe_globals()) == before
    with (FILES / "1.2.10.ckpt").open("rb") as stream:
        assert "ModelCheckpoint" in (scan.refusal(stream) or "")


def test_every_known_class_is_data(tmp_path: Path) -> None:
    for kind, name in known_classes():
        made = kind() if kind is not Namespace else kind(a=1)
        assert isinstance(made, (dict, Namespace, Path)) or vars(type(made)).keys() <= {
            *("__module__", "__qualname__", "__dict__", "__weakref__", "__doc__"),
        }, name


def test_hyper_parameters_that_were_paths_and_namespaces_are_read(tmp_path: Path) -> None:
    hparams = {"root": Path("data"), "options": Namespace(depth=2)}
    torch.save(old(hyper_parameters=hparams, **{"pytorch-lightning_version": "2.1.0"}), tmp_path / "a.ckpt")
    assert file.load(tmp_path / "a.ckpt")["hyper_parameters"] == hparams
