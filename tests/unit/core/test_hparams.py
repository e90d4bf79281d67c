from __future__ import annotations

import copy
import io
import pickle
from argparse import Namespace
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from leyden.checkpoint.file import save
from leyden.core.hparams import (
    HyperparametersMixin,
    class_only,
    clean_hparams,
    restore_hparams,
)
from leyden.core.hparams import load_from_checkpoint as load_from_file
from leyden.core.plain import AttributeDict
from leyden.errors import LightningDeprecationWarning


class Module(HyperparametersMixin, nn.Module):
    """What load_from_checkpoint needs of a LightningModule."""

    strict_loading = True

    def configure_model(self) -> None: ...

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None: ...


class Parent(Module):
    def __init__(self, a: int, b: int = 2, *args: Any, **options: Any) -> None:
        super().__init__()
        self.save_hyperparameters()


class Child(Parent):
    def __init__(self, a: int, d: int = 3) -> None:
        super().__init__(a * 10, b=7, extra=1)


class Selective(Module):
    def __init__(self, a: Any, b: Any = 1, net: Any = None, *, ignore: Any = None, names: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self.save_hyperparameters(*names, ignore=ignore)


class Whole(Module):
    def __init__(self, config: Any, width: int = 1) -> None:
        super().__init__()
        self.config = config
        self.save_hyperparameters(config)


class WholeChild(Whole):
    def __init__(self, settings: Any) -> None:
        super().__init__(settings)


class Linear(Module):
    def __init__(self, width: int, bias: bool = True) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(width, 1, bias=bias)


@dataclass
class Config:
    lr: float = 0.1
    depth: int = 2


def checkpoint_of(module: Module, **entries: Any) -> dict[str, Any]:
    return {
        "state_dict": module.state_dict(),
        "hyper_parameters": clean_hparams(module.hparams),
        "hparams_name": module._hparams_name,
        **entries,
    }


def load_from_checkpoint(
    cls: Any, checkpoint: Any, *, map_location: Any = None, hparams_file: Any = None, strict: Any = None, **kwargs: Any
) -> Any:
    if isinstance(checkpoint, dict):
        contents, checkpoint = checkpoint, io.BytesIO()
        torch.save(contents, checkpoint)
        checkpoint.seek(0)
    return load_from_file(cls, checkpoint, map_location, hparams_file, strict, None, kwargs)


# -- AttributeDict --


def test_attribute_dict() -> None:
    hparams = AttributeDict(lr=0.1, batch_size=2)
    hparams.new = [1]
    assert hparams["new"] == [1]
    del hparams.new
    assert "new" not in hparams
    assert repr(hparams) == '"lr":         0.1\n"batch_size": 2'
    assert repr(AttributeDict()) == ""
    with pytest.raises(AttributeError, match="Did you mean 'batch_size'"):
        _ = hparams.batchsize
    with pytest.raises(AttributeError):
        del hparams.new
    assert not hasattr(hparams, "other")


def test_attribute_dict_copies_and_pickles() -> None:
    hparams = AttributeDict(a={"b": 1})
    for other in (copy.deepcopy(hparams), pickle.loads(pickle.dumps(hparams)), copy.copy(hparams)):
        assert other == hparams
        assert type(other) is AttributeDict


# -- save_hyperparameters --


def test_all_arguments_without_star_args() -> None:
    module = Parent(1, 5, 6, 7, k=2)
    assert module.hparams == {"a": 1, "b": 5, "k": 2}
    assert module._hparams_name is None
    assert module._log_hyperparams


def test_arguments_of_a_subclass_win() -> None:
    assert Child(1).hparams == {"a": 1, "b": 7, "extra": 1, "d": 3}


def test_other_objects_under_construction_are_not_mixed_in() -> None:
    class Outer(Module):
        def __init__(self, a: int, width: int) -> None:
            super().__init__()
            self.inner = Parent(a + 1)

    assert Outer(1, width=9).inner.hparams == {"a": 2, "b": 2}


def test_called_from_a_helper_and_from_a_dataclass() -> None:
    class Indirect(Module):
        def __init__(self, a: int) -> None:
            super().__init__()
            self.configure()

        def configure(self) -> None:
            self.save_hyperparameters()

    @dataclass(eq=False)
    class Fields(Module):
        lr: float = 0.1

        def __post_init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()

    assert Indirect(4).hparams == {"a": 4}
    assert Fields(lr=0.5).hparams == {"lr": 0.5}


def test_names() -> None:
    assert Selective(1, 2, names=("b",)).hparams == {"b": 2}
    with pytest.raises(ValueError, match=r"arguments of `__init__` \(a, b, net.*Did you mean 'net'"):
        Selective(1, names=("ne",))


def test_ignore() -> None:
    rest = {"names": ()}
    assert Selective(1, ignore=["net", "ignore"]).hparams == {"a": 1, "b": 1, **rest}
    assert Selective(1, ignore="a").hparams.keys() == {"b", "net", "ignore", "names"}


def test_ignore_removes_what_a_parent_stored() -> None:
    class Strict(Parent):
        def __init__(self, a: int, secret: str = "s") -> None:
            super().__init__(a)
            self.save_hyperparameters(ignore=["a", "secret"])

    module = Strict(1)
    assert module.hparams == {"b": 2}
    assert module.hparams_initial == {"b": 2}


@pytest.mark.parametrize("config", [{"lr": 0.1, "depth": 2}, Namespace(lr=0.1, depth=2), Config()])
def test_container(config: Any) -> None:
    module = Whole(config)
    assert module.hparams == {"lr": 0.1, "depth": 2}
    assert module.hparams.lr == 0.1
    assert module._hparams_name == "config"
    module.hparams.lr = 1.0
    assert Whole(config).hparams.lr == 0.1


@pytest.mark.parametrize("names", [(5,), ({"a": 1}, {"b": 2}), (1.5, "a")])
def test_other_forms_are_refused(names: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="arguments of `__init__` .*, or one dict"):
        Selective(1, names=names)


def test_modules_warn() -> None:
    with pytest.warns(UserWarning, match=r"save_hyperparameters\(ignore=\['net'\]\)"):
        Selective(1, net=nn.Linear(1, 1))


def test_initial_is_a_copy_of_the_first_values() -> None:
    module = Parent(1, nested={"x": [1]})
    module.hparams.b = 100
    module.hparams.nested["x"].append(2)
    assert module.hparams_initial == {"a": 1, "b": 2, "nested": {"x": [1]}}
    module.hparams_initial.b = 5
    assert module.hparams_initial.b == 2


def test_no_setter() -> None:
    module = Parent(1)
    with pytest.warns(LightningDeprecationWarning, match=r"self.save_hyperparameters\(hparams\)"):
        module.hparams = {"c": 3}  # type: ignore[assignment]
    assert module.hparams == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(AttributeError):
        Parent(1).hparams_initial = {}  # type: ignore[misc, assignment]


def test_nothing_saved() -> None:
    module = Module()
    assert module.hparams == {}
    assert module.hparams_initial == {}
    assert module._hparams_name is None
    assert not module._log_hyperparams


def test_outside_init() -> None:
    module = Module()
    module.save_hyperparameters()
    assert module.hparams == {}
    module.save_hyperparameters({"q": 3}, logger=False)
    assert module.hparams == {"q": 3}
    assert not module._log_hyperparams


def test_second_call_adds() -> None:
    class Twice(Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.save_hyperparameters("a")
            self.save_hyperparameters({"c": 3})

    module = Twice(1, 2)
    assert module.hparams == {"a": 1, "c": 3}
    assert module._hparams_name is None


# -- what a checkpoint holds --


def test_row_102_what_cannot_be_saved_is_dropped_with_one_warning() -> None:
    hparams = {"lr": 0.1, "fn": lambda: 0, "deep": {"x": [(lambda: 1)]}}
    with pytest.warns(UserWarning, match=r"`fn` \(function .*<lambda>\), `deep` \(function .*: left out") as record:
        assert clean_hparams(hparams) == {"lr": 0.1}
    assert len(record) == 1


class WithObjects(Module):
    def __init__(self, loss: nn.Module, scale: Fraction = Fraction(1), lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()


@pytest.mark.filterwarnings("ignore:Hyper-parameters .* are modules")
def test_objects_come_back_from_a_free_read_alone(tmp_path: Path) -> None:
    model, path = WithObjects(nn.HuberLoss(delta=0.25), Fraction(1, 3), lr=0.5), tmp_path / "a.ckpt"
    with pytest.warns(UserWarning, match=r"Only `weights_only=False` .*`loss` \(HuberLoss\), `scale` \(Fraction\)"):
        hparams = clean_hparams(model.hparams)
    save({"state_dict": {}, "epoch": 0, "global_step": 0, "hyper_parameters": hparams}, path)

    def load(**given: Any) -> Any:
        return load_from_file(WithObjects, path, None, None, None, given.pop("weights_only", None), given).hparams

    with pytest.raises(TypeError, match=r"needs \['loss'\], .*weights_only=False"):
        load()
    given = nn.MSELoss()
    assert load(loss=given) == {"loss": given, "scale": Fraction(1), "lr": 0.5}
    free = load(weights_only=False)
    assert (free.loss.delta, free.scale, free.lr) == (0.25, Fraction(1, 3), 0.5)


def test_restored_hparams_have_attributes() -> None:
    hparams = restore_hparams(clean_hparams({"lr": 0.1, "root": Path("x")}))
    assert hparams.root == Path("x")


# -- load_from_checkpoint --


def test_load_builds_from_hparams_and_weights() -> None:
    saved = Linear(3, bias=False)
    loaded = load_from_checkpoint(Linear, checkpoint_of(saved))
    assert torch.equal(loaded.layer.weight, saved.layer.weight)
    assert loaded.layer.bias is None


def test_load_from_a_file(tmp_path: Path) -> None:
    saved = Linear(3)
    torch.save(checkpoint_of(saved), tmp_path / "a.ckpt")
    for source in (tmp_path / "a.ckpt", str(tmp_path / "a.ckpt")):
        assert torch.equal(load_from_checkpoint(Linear, source).layer.weight, saved.layer.weight)
    with (tmp_path / "a.ckpt").open("rb") as file:
        assert load_from_checkpoint(Linear, file, map_location="cpu").hparams.width == 3


def test_arguments_win_over_saved_ones() -> None:
    checkpoint = checkpoint_of(Linear(3))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_from_checkpoint(Linear, checkpoint, width=4)
    module = load_from_checkpoint(Linear, checkpoint, bias=False, strict=False)
    assert not module.hparams.bias


def test_row_103_unknown_hparams_are_left_out() -> None:
    checkpoint = checkpoint_of(Linear(3))
    checkpoint["hyper_parameters"]["old"] = 1
    assert load_from_checkpoint(Linear, checkpoint).hparams == {"width": 3, "bias": True}
    with pytest.warns(UserWarning, match=r"takes no `widht`.*Did you mean 'width'"):
        load_from_checkpoint(Linear, checkpoint, widht=4)


def test_open_ended_init_gets_everything() -> None:
    checkpoint = checkpoint_of(Parent(1, k=2))
    assert load_from_checkpoint(Parent, checkpoint, z=3).hparams == {"a": 1, "b": 2, "k": 2, "z": 3}


def test_class_without_own_init() -> None:
    module = Module()
    module.save_hyperparameters({"q": 3})
    assert type(load_from_checkpoint(Module, checkpoint_of(module))) is Module


def test_container_argument() -> None:
    checkpoint = checkpoint_of(Whole(Namespace(lr=0.1, depth=2)))
    module = load_from_checkpoint(Whole, checkpoint, depth=5, width=7)
    assert module.config.lr == 0.1
    assert module.hparams == {"lr": 0.1, "depth": 5}
    assert load_from_checkpoint(Whole, checkpoint, config={"lr": 1}).hparams == {"lr": 1}
    child = checkpoint_of(WholeChild({"lr": 2}))
    assert child["hparams_name"] == "settings"
    assert load_from_checkpoint(WholeChild, child).hparams == {"lr": 2}


def test_missing_arguments() -> None:
    with pytest.raises(TypeError, match=r"`Linear.__init__` needs \['width'\].*holds \[\].*width=\.\.\."):
        load_from_checkpoint(Linear, {"state_dict": {}})


def test_row_103_order_of_calls() -> None:
    calls: list[str] = []

    class Late(Module):
        def configure_model(self) -> None:
            calls.append("configure_model")
            self.layer = nn.Linear(1, 1)

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            calls.append("on_load_checkpoint")
            checkpoint["state_dict"]["layer.bias"] += 1

    weights = {"layer.weight": torch.zeros(1, 1), "layer.bias": torch.zeros(1)}
    module = load_from_checkpoint(Late, {"state_dict": weights})
    assert calls == ["configure_model", "on_load_checkpoint"]
    assert module.layer.bias.item() == 1.0


def test_strict_loading_of_the_module_is_the_default() -> None:
    class Lenient(Linear):
        strict_loading = False

    checkpoint = checkpoint_of(Linear(3), state_dict={})
    assert load_from_checkpoint(Lenient, checkpoint).hparams.width == 3
    with pytest.raises(RuntimeError, match="Missing key"):
        load_from_checkpoint(Lenient, checkpoint, strict=True)
    with pytest.raises(RuntimeError, match="Missing key"):
        load_from_checkpoint(Linear, checkpoint)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_module_lies_where_the_weights_are() -> None:
    checkpoint = checkpoint_of(Linear(3).to("cuda"))
    assert load_from_checkpoint(Linear, checkpoint).layer.weight.device.type == "cuda"


def test_hparams_files_replace_saved_ones(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(Parent(1, b=9))
    (tmp_path / "h.yaml").write_text("a: 5\nbetas: !!python/tuple [0.9, 0.99]\n")
    (tmp_path / "h.csv").write_text('key,value\na,5\nname,hello\nsizes,"[1, 2]"\n')
    yaml = load_from_checkpoint(Parent, checkpoint, hparams_file=tmp_path / "h.yaml")
    assert yaml.hparams == {"a": 5, "b": 2, "betas": (0.9, 0.99)}
    from_csv = load_from_checkpoint(Parent, checkpoint, hparams_file=str(tmp_path / "h.csv"))
    assert from_csv.hparams == {"a": 5, "b": 2, "name": "hello", "sizes": [1, 2]}


def test_bad_hparams_files(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "evil.yaml").write_text(
        f"a: !!python/object/apply:pathlib.Path.touch [!!python/name:marker '{marker}']\n"
    )
    (tmp_path / "list.yml").write_text("- 1\n")
    with pytest.raises(ValueError, match="no mapping of names to plain values"):
        load_from_checkpoint(Parent, {"state_dict": {}}, hparams_file=tmp_path / "evil.yaml")
    with pytest.raises(ValueError, match="no mapping of names to plain values"):
        load_from_checkpoint(Parent, {"state_dict": {}}, hparams_file=tmp_path / "list.yml")
    with pytest.raises(FileNotFoundError):
        load_from_checkpoint(Parent, {"state_dict": {}}, hparams_file=tmp_path / "none.yaml")
    assert not marker.exists()


def test_row_104_class_only() -> None:
    class Loader:
        @class_only
        def load(cls, path: str) -> str:
            return cls.__name__ + path

    class Special(Loader):
        pass

    assert Loader.load("x") == "Loaderx"
    assert Special.load("x") == "Specialx"
    with pytest.raises(TypeError, match=r"`.*Special.load` was called on an instance"):
        Special().load("x")
    assert callable(Special().load)
