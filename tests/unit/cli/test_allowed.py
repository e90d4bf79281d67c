from __future__ import annotations

import math
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import yaml
from jsonargparse import lazy_instance
from torch import nn

import leyden as pl
from helpers_cli import Model, build, imported_of, path_of, write
from leyden.cli import LightningCLI, allow_imports
from leyden.cli.allowed import COMPONENTS, FRAMEWORK, ClassPathRefused, is_allowed, own_packages_of, refused_in

HARMFUL = [
    "os.system",
    "posix.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.open",
    "importlib.import_module",
    "functools.partial",
    "collections.OrderedDict",
    "numpy.memmap",
    "yaml.unsafe_load",
    "jsonargparse.set_parsing_settings",
    "torch.load",
    "torch.serialization.load",
    "torch.hub.load",
    "torch.utils.cpp_extension.load",
    "leyden.dropin",
    "leyden.dropin.main",
    "leyden.utils.optional.require",
    "leyden.cli.LightningCLI",
    "leyden.cli.allow_imports",
    "leyden.core.module.LightningModule.load_from_checkpoint",
    "leyden.legacy.startup.sitecustomize.x",
    "leyden.__main__.x",
    "torchish.nn.Linear",
    "nowhere.Thing",
    "nowhere",
]


@pytest.mark.parametrize("path", HARMFUL)
def test_what_a_configuration_may_not_name(path: str) -> None:
    assert not is_allowed(path)


@pytest.mark.parametrize(
    "path",
    [
        "torch.nn.Linear",
        "torch.optim.AdamW",
        "torch.utils.data.DataLoader",
        "torch.nn.functional.gelu",
        "torch._C._nn.gelu",
        "torchmetrics.Accuracy",
        "leyden.callbacks.EarlyStopping",
        "leyden.runtime.strategies.ddp.DDPStrategy",
        "leyden.cli.ReduceLROnPlateau",
        "__main__.Anything",
    ],
)
def test_what_a_configuration_may_name(path: str) -> None:
    assert is_allowed(path)


def test_every_public_class_of_the_framework_may_be_named() -> None:
    for package in (pl, pl.callbacks, pl.loggers, pl.profilers):
        for name in package.__all__:
            value = getattr(package, name)
            if isinstance(value, type) and issubclass(value, (*COMPONENTS, pl.LightningModule)):
                assert is_allowed(f"{package.__name__}.{name}") and is_allowed(path_of(value)), name


def test_the_users_imported_code_may_be_named_and_its_neighbours_in_the_package() -> None:
    assert is_allowed("helpers_cli.Model")
    assert is_allowed(f"{__name__}.Model")


def test_an_imported_component_of_another_package_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_allowed("yaml.Foreign")
    monkeypatch.setattr("yaml.Foreign", type("Foreign", (nn.Module,), {"__module__": "yaml"}), raising=False)
    assert is_allowed("yaml.Foreign")
    assert not is_allowed("yaml.YAMLObject") and not is_allowed("yaml.load")


def test_allow_imports_adds_packages_modules_and_single_names() -> None:
    allow_imports("nowhere", "numpy.memmap")
    assert is_allowed("nowhere.at.All") and is_allowed("numpy.memmap")
    assert not is_allowed("nowhereelse.X") and not is_allowed("numpy.load")
    allow_imports("torch.hub")
    assert is_allowed("torch.hub.load")


@pytest.mark.parametrize("name", ["*", "", "a b", "a.", 3])
def test_allow_imports_refuses_what_is_no_name(name: Any) -> None:
    with pytest.raises(ValueError, match="`allowed` got"):
        allow_imports(name)


def test_packages_of_classes_count_as_the_program() -> None:
    own_packages_of(type("X", (), {"__module__": "installed.deep"}), pl.Trainer, None)
    assert is_allowed("installed.elsewhere.Y")
    assert not is_allowed("leyden.utils.optional.require")


def test_the_message_says_how_to_allow_it() -> None:
    assert "allowed=('timm',)" in str(ClassPathRefused("timm.models.X"))
    assert "leyden.dropin" in str(ClassPathRefused("lightning.pytorch.Trainer"))


class Anything:
    """A class that is no component, and functions beside it."""


def makes_a_module() -> nn.Module:
    return nn.Identity()


def says_nothing() -> Any:
    raise AssertionError("called")


def test_only_classes_and_functions_that_say_what_they_make_are_built() -> None:
    def refused(path: str) -> list[str]:
        return list(refused_in({"a": [{"class_path": path, "init_args": {"b": 1}}]}))

    assert refused(f"{__name__}.Anything") == refused(f"{__name__}.makes_a_module") == []
    assert "return annotation" in refused(f"{__name__}.says_nothing")[0]
    assert "Nothing was imported" in refused("os.system")[0]
    assert list(refused_in({"class_path": "ShortName", "init_args": {"class_path": 3}})) == []


class OfOthers(pl.LightningModule):
    """Its code names classes and functions of other packages."""

    def __init__(
        self,
        node: yaml.YAMLObject,
        call: Callable[..., Any] = math.tanh,
        maker: Callable[..., Any] = numpy.tanh,
        kind: type = OrderedDict,
        head: yaml.YAMLObject = lazy_instance(yaml.YAMLObject),  # noqa: B008
        chosen: Any = None,
    ) -> None:
        super().__init__()
        self.got = (node, call, maker, kind, head, chosen)


class Defaulting(LightningCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.set_defaults({"model.chosen": {"class_path": "fractions.Fraction", "init_args": {"numerator": 3}}})


def test_what_the_code_itself_names_may_be_named() -> None:
    built = build("--model.node=yaml.YAMLObject", model=OfOthers, cli=Defaulting)
    node, call, maker, kind, head, chosen = built.model.got
    assert isinstance(node, yaml.YAMLObject) and isinstance(head, yaml.YAMLObject)
    assert (call, maker, kind, chosen) == (math.tanh, numpy.tanh, OrderedDict, 3)
    again = build("--config", write("again.yaml", built.parser.dump(built.config)), model=OfOthers, cli=Defaulting)
    assert again.model.got[1:4] == built.model.got[1:4]
    assert not is_allowed("math.sin") and not is_allowed("yaml.Loader") and not is_allowed("builtins.type")


# -- hostile configurations ---------------------------------------------------------------------------------------------

EVIL = (
    "from pathlib import Path\nPath('ran').touch()\nimport torch\nclass Evil(torch.nn.Module): ...\ndef make(): ...\n"
)


class Open(pl.LightningModule):
    """Takes everything that a class path can be given for."""

    def __init__(
        self,
        net: nn.Module | None = None,
        act: Any = None,
        call: Callable[..., Any] | None = None,
        kind: type[nn.Module] | None = None,
        either: str | nn.Module | None = None,
        many: list[nn.Module] | None = None,
        by_name: dict[str, Any] | None = None,
        untyped=None,
    ) -> None:
        super().__init__()


def spec(path: str) -> dict[str, Any]:
    return {"class_path": path, "init_args": {"args": "touch ran", "command": "touch ran", "source": "1"}}


PLACES: dict[str, Any] = {
    "a class": lambda path: {"model": {"net": path}},
    "a class with arguments": lambda path: {"model": {"net": spec(path)}},
    "anything": lambda path: {"model": {"act": spec(path)}},
    "a list in anything": lambda path: {"model": {"act": [spec(path)]}},
    "a function": lambda path: {"model": {"call": path}},
    "a function with arguments": lambda path: {"model": {"call": spec(path)}},
    "a type": lambda path: {"model": {"kind": path}},
    "one of a union": lambda path: {"model": {"either": spec(path)}},
    "a list": lambda path: {"model": {"many": [spec(path)]}},
    "a dict": lambda path: {"model": {"by_name": {"x": spec(path)}}},
    "untyped": lambda path: {"model": {"untyped": spec(path)}},
    "callbacks": lambda path: {"trainer": {"callbacks": [spec(path)]}},
    "logger": lambda path: {"trainer": {"logger": spec(path)}},
    "plugins": lambda path: {"trainer": {"plugins": spec(path)}},
    "strategy": lambda path: {"trainer": {"strategy": spec(path)}},
    "data": lambda path: {"data": spec(path)},
    "optimizer": lambda path: {"optimizer": spec(path)},
    "scheduler": lambda path: {"lr_scheduler": spec(path)},
}


@pytest.fixture
def evil(monkeypatch: pytest.MonkeyPatch) -> str:
    Path("elsewhere").mkdir()
    write("elsewhere/evilcode.py", EVIL)
    monkeypatch.syspath_prepend("elsewhere")
    return "evilcode"


@pytest.mark.parametrize("place", PLACES)
def test_a_hostile_configuration_imports_and_runs_nothing(place: str, evil: str, capsys: Any) -> None:
    for path in (f"{evil}.Evil", "os.system", "subprocess.Popen", "builtins.eval"):
        file = write("hostile.yaml", PLACES[place](path))
        with pytest.raises(SystemExit) as stopped:
            build("--config", file, model=Open)
        assert stopped.value.code == 2
        assert "Nothing was imported" in capsys.readouterr().err, path
    assert imported_of(evil) == []
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch ran']",
        "model: !!python/object/new:subprocess.Popen [['touch', 'ran']]",
        "model: {act: !!python/name:os.system x}",
    ],
)
def test_tags_of_yaml_make_nothing(text: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        build("--config", write("hostile.yaml", text), model=Open)
    assert "could not determine a constructor" in capsys.readouterr().err
    assert not Path("ran").exists()


def test_other_ways_in_are_closed_too(evil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{evil}.Evil"
    for args, options in [
        ([f"--model.net={path}"], {}),
        ([f"--model.call={evil}.make"], {}),
        (["--model.act={class_path: torch.load, init_args: {f: x, weights_only: false}}"], {}),
        ([f"--model.net.help={path}"], {}),
        ([f"--model.net={path}", "--print_config"], {}),
        ([], {"parser_kwargs": {"default_config_files": [write("c.yaml", {"model": {"net": path}})]}}),
    ]:
        with pytest.raises(SystemExit) as stopped:
            build(*args, model=Open, **options)
        assert stopped.value.code == 2
    monkeypatch.setenv("PL_MODEL__NET", path)
    with pytest.raises(SystemExit):
        build(model=Open, parser_kwargs={"default_env": True})
    assert imported_of(evil) == []


def test_what_is_allowed_is_imported(evil: str) -> None:
    built = build(f"--model.net={evil}.Evil", model=Open, allowed=[evil])
    assert type(built.config_init.model).__name__ == "Open"
    assert Path("ran").exists()
    del sys.modules[evil]


def test_the_rules_end_with_the_command_line() -> None:
    import jsonargparse
    from jsonargparse import _common

    before = dict(_common.parsing_settings)
    build("--model.width=3", model=Model)
    assert _common.parsing_settings == before
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("--kind", type=type)
    assert parser.parse_args(["--kind=collections.OrderedDict"]).kind.__name__ == "OrderedDict"


def test_a_file_that_asks_to_unpickle_is_refused(capsys: Any) -> None:
    torch.save({"state_dict": {}}, "some.ckpt")
    file = write("c.yaml", {"ckpt_path": "some.ckpt", "weights_only": False})
    with pytest.raises(SystemExit):
        build("fit", "--config", file, run=True)
    assert "weights_only" in capsys.readouterr().err


MAIN = """
import sys
import torch
from leyden.cli import LightningCLI
import leyden as pl

class Model(pl.LightningModule):
    def __init__(self, net: torch.nn.Module): super().__init__(); self.net = net

if __name__ == "__main__":
    for name in sys.argv[1:]:
        try:
            cli = LightningCLI(Model, run=False, args={"model": {"net": name}}, trainer_defaults={"max_epochs": 1})
            print(type(cli.model.net).__name__)
        except SystemExit:
            print("refused")
"""


def test_beside_a_script_packages_and_files_that_only_define_belong_to_it() -> None:
    write("main.py", MAIN)
    for name in ("package", "namespace"):
        Path(name).mkdir()
        write(f"{name}/nets.py", "import torch\nclass Net(torch.nn.Module): ...\n")
    write("package/__init__.py", "")
    write("library.py", '"""Doc."""\nimport torch\nif True:\n    X = 1\ntry:\n    Y = 2\nexcept ValueError:\n    Y = 3\n'
          "class Net(torch.nn.Module): ...\nif __name__ == '__main__':\n    print('ran')\n")  # fmt: skip
    write("script.py", EVIL)
    names = ["package.nets.Net", "namespace.nets.Net", "library.Net", "__main__.torch.nn.Identity", "script.Evil"]
    command = [sys.executable, "-W", "ignore", "main.py", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["Net", "Net", "Net", "refused", "refused"], done.stderr
    assert not Path("ran").exists()


def test_the_framework_is_what_it_says() -> None:
    assert FRAMEWORK == ("leyden", "torch", "torchmetrics")
