"""Which classes a configuration may name.

To import a module is to run its code, so a class path is imported only if it leads to one of these:

- the framework, torch and torchmetrics, without the parts that load files, start processes or run text as code;
- the program itself: the running script and the packages beside it; a single file beside it if it only defines
  things; the package that runs under ``python -m``; the packages of the classes handed to ``LightningCLI``, and of the
  code that calls it; and whatever of the user's code is already imported from outside the installed packages;
- a class that is already imported, wherever it comes from, and is a module, data module, data set, optimizer,
  scheduler, callback, logger or profiler;
- what the code itself names: the type that a parameter declares, and its default;
- what :func:`allow_imports` names.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args, get_type_hints

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset, Sampler

from leyden.core.callback import Callback
from leyden.core.datamodule import LightningDataModule
from leyden.core.logger import Logger
from leyden.core.profiler import Profiler
from leyden.errors import bad_value
from leyden.legacy.alias import ROOTS
from leyden.legacy.finder import AliasFinder
from leyden.utils.optional import require

FRAMEWORK = ("leyden", "torch", "torchmetrics")
REFUSED = (
    "leyden.checkpoint", "leyden.cli", "leyden.dropin", "leyden.legacy", "leyden.utils",
    "leyden.core.module.LightningModule.load_from_checkpoint",
    "leyden.core.datamodule.LightningDataModule.load_from_checkpoint",
    "torch._C._jit", "torch._dynamo", "torch._export", "torch._inductor", "torch.classes",
    "torch.distributed.checkpoint", "torch.distributed.elastic", "torch.distributed.launch",
    "torch.distributed.launcher", "torch.distributed.nn", "torch.distributed.rpc", "torch.distributed.run",
    "torch.export", "torch.from_file", "torch.fx", "torch.hub", "torch.jit", "torch.load", "torch.monitor",
    "torch.multiprocessing", "torch.onnx", "torch.ops", "torch.package", "torch.save", "torch.serialization",
    "torch.testing", "torch.utils.benchmark", "torch.utils.bottleneck", "torch.utils.collect_env",
    "torch.utils.cpp_extension", "torch.utils.data.datapipes", "torch.utils.model_dump",
    "torch.utils.model_zoo",
)  # fmt: skip
"""Parts of the framework and torch that load files, start processes or run text as code."""

ADMITTED = ("leyden.cli.ReduceLROnPlateau", "leyden.cli.schedulers.ReduceLROnPlateau")
COMPONENTS = (
    nn.Module, Optimizer, LRScheduler, Dataset, Sampler, LightningDataModule, Callback, Logger, Profiler,
)  # fmt: skip

_DEFINITIONS = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Pass,
)  # fmt: skip

_added: set[str] = set()  # what the user named
_own: set[str] = set()  # packages of the classes and functions that were handed to us
_named: dict[int, Any] = {}  # classes and functions that code names as types and defaults, by their ids


class ClassPathRefused(ImportError, ValueError):
    """A class path leads outside what a configuration may name; nothing was imported."""

    def __init__(self, path: str) -> None:
        root = path.partition(".")[0]
        fix = f"if you trust it, LightningCLI(..., allowed=({root!r},)) or leyden.cli.allow_imports({root!r})"
        if root in ROOTS:
            fix = "write leyden.* instead, or run the program with `python -m leyden.dropin`"
        accepted = f"classes of {', '.join(FRAMEWORK)}, of this program, and what the program allows"
        super().__init__(f"Nothing was imported: {bad_value('class_path', path, accepted, fix)}")


def allow_imports(*names: str) -> None:
    """Let configurations of this program name classes and functions of these modules, and all below them.

    Args:
        names: Packages, modules or single classes, such as ``"timm"`` or ``"timm.models.resnet"``.

    Raises:
        ValueError: A name is no dotted name.

    Example:
        >>> allow_imports("collections.OrderedDict")
        >>> is_allowed("collections.OrderedDict"), is_allowed("collections.Counter")
        (True, False)
    """
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(bad_value("allowed", name, "names of packages, modules or classes, such as 'timm.models'"))
    _added.update(names)


def own_packages_of(*objects: object) -> None:
    """Take the packages that define these classes, functions or modules as part of the program."""
    modules = (str(getattr(item, "__module__", "") or getattr(item, "__name__", "")) for item in objects)
    _own.update({module.partition(".")[0] for module in modules} - {"", *FRAMEWORK})


def declared_by(*classes: Any) -> None:
    """Let configurations name what the code of these classes names: the types of parameters and their defaults."""
    hints: list[Any] = []
    for cls in (base for item in classes for base in getattr(item, "__mro__", ())):
        with suppress(TypeError, NameError, AttributeError, ValueError):  # hints that only a type checker can read
            hints += get_type_hints(cls.__init__).values()
        with suppress(TypeError, ValueError):
            in_code(*(p.default for p in inspect.signature(cls.__init__).parameters.values()))
    while hints:
        hint = hints.pop()
        hints += hint if isinstance(hint, list) else get_args(hint)
        if isinstance(hint, type) and not _is_standard(hint.__module__):
            in_code(hint)


def in_code(*values: Any) -> None:
    """Let configurations name these classes and functions, which stand in the program's code."""
    for value in values:
        if isinstance(value, dict):
            _added.update({value["class_path"]} if isinstance(value.get("class_path"), str) else ())
            in_code(*value.values())
        elif isinstance(value, (list, tuple)):
            in_code(*value)
        elif callable(value):
            _named[id(value)] = value
            if not _is_standard(type(value).__module__):  # an instance is known by its class
                _named[id(type(value))] = type(value)


def is_allowed(path: str) -> bool:
    """Whether a configuration may name ``path``. Nothing is imported to find out.

    Example:
        >>> is_allowed("torch.nn.Linear"), is_allowed("torch.hub.load"), is_allowed("os.system")
        (True, False, False)
    """
    root, *rest = path.split(".")
    if _under(path, _added) or id(loaded(path)) in _named:
        return True
    if _is_standard(root) or root == "jsonargparse" or "__main__" in rest:
        return False
    if _under(path, REFUSED) and path not in ADMITTED:
        return False
    dropin = ROOTS if any(isinstance(finder, AliasFinder) for finder in sys.meta_path) else ()
    return (
        root in ("__main__", _main_package(), *FRAMEWORK, *dropin, *_own)
        or _is_imported_user_code(path)
        or _lies_beside_script(root)
        or _is_component(loaded(path))
    )


def _is_standard(module: str) -> bool:
    """Whether a module is of the standard library."""
    return module.partition(".")[0] in sys.stdlib_module_names


def _under(path: str, names: Iterable[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _main_package() -> str:
    """The package that runs under ``python -m``."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name.partition(".")[0] if spec else "__main__"


def _is_users(file: str) -> bool:
    """Whether a file lies outside the standard library and the installed packages."""
    parts = Path(os.path.realpath(file)).parts
    installed = {"site-packages", "dist-packages"}.intersection(parts)
    return not installed and not os.path.realpath(file).startswith(os.path.realpath(sysconfig.get_path("stdlib")))


def _is_imported_user_code(path: str) -> bool:
    parts = path.split(".")
    modules = [sys.modules.get(".".join(parts[:count])) for count in range(1, len(parts))]
    files = [file for module in modules for file in (getattr(module, "__file__", None), *_folders(module)) if file]
    return any(_is_users(file) for file in files)


def _folders(package: Any) -> list[str]:
    return [str(folder) for folder in getattr(package, "__path__", ())]


def _lies_beside_script(root: str) -> bool:
    """Whether ``import root`` would take a package beside the running script, or a file there that only defines."""
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    if not script or getattr(main, "__spec__", None) or root in sys.modules or not _is_users(script):
        return False
    spec = importlib.util.find_spec(root)
    folder = os.path.dirname(os.path.realpath(script))
    if spec is None or spec.submodule_search_locations:
        packages = spec.submodule_search_locations or () if spec else ()
        return any(os.path.dirname(os.path.realpath(package)) == folder for package in packages)
    file = os.path.realpath(spec.origin or "")
    return os.path.dirname(file) == folder and file.endswith(".py") and _only_defines(Path(file))


def _only_defines(file: Path) -> bool:
    """Whether a file, read and not run, only imports, defines and assigns at its top level, as a library does."""
    try:
        statements = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return False
    while statements:
        node = statements.pop()
        if isinstance(node, ast.If):  # what stands under `if __name__ == "__main__"` does not run on import
            statements += node.orelse + ([] if "__name__" in ast.unparse(node.test) else node.body)
        elif isinstance(node, ast.Try):
            statements += node.body + node.orelse + node.finalbody + [n for h in node.handlers for n in h.body]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        elif not isinstance(node, _DEFINITIONS):
            return False
    return True


def loaded(path: str) -> Any:
    """What a dotted path leads to among the modules that are imported already; None if to nothing."""
    parts = path.split(".")
    count = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules), 0)
    found: Any = sys.modules.get(".".join(parts[:count]))
    for part in parts[count:]:
        found = inspect.getattr_static(found, part, None)
    return found


def _is_component(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, COMPONENTS)


def refused_in(config: Any) -> Iterator[str]:
    """Yield what is wrong with the class paths of a configuration that are left to be built."""
    if isinstance(config, Mapping) or hasattr(config, "as_dict"):
        items = dict(config if isinstance(config, Mapping) else vars(config))
        path = items.get("class_path")
        if isinstance(path, str) and "." in path:
            if not is_allowed(path):
                yield str(ClassPathRefused(path))
            elif not _builds(loaded(path)):
                yield bad_value("class_path", path, "a class, or a function whose return annotation is a class")
        config = items.values()
    if not isinstance(config, (str, bytes)) and isinstance(config, Iterable):
        for item in config:
            if isinstance(item, (Mapping, list, tuple, set)) or hasattr(item, "as_dict"):
                yield from refused_in(item)


def _builds(found: Any) -> bool:
    """Whether calling it makes an object, as far as its annotation says; what is not imported yet will be asked later."""
    function = getattr(found, "__func__", found)
    if found is None or isinstance(found, type):
        return True
    try:
        made = get_type_hints(function).get("return")
    except (TypeError, NameError, AttributeError):
        return False
    return isinstance(made, type) and made not in (Any, object, type(None))


class _Verdicts(dict[str, bool]):
    """jsonargparse's table of verdicts, in which it looks up a whole path first; as a plain dict it refuses all."""

    def __contains__(self, path: object) -> bool:
        return True

    def __getitem__(self, path: str) -> bool:
        if not is_allowed(path):
            raise ClassPathRefused(path)
        return True


@contextmanager
def limited_imports() -> Iterator[None]:
    """Let jsonargparse import only what :func:`is_allowed` allows.

    Its own rules can be tightened but not loosened, and hold for the whole process: here all is refused through its
    public function, then our table takes the place of its own until the block ends.
    """
    settings: dict[str, Any] = importlib.import_module("jsonargparse._common").parsing_settings
    if isinstance(settings.get("import_path_verdicts"), _Verdicts):
        yield
        return
    before = dict(settings)
    require("jsonargparse", "cli").set_parsing_settings(
        import_path_denylist=["*"], instantiate_subclass_spec_in_any=True
    )
    settings["import_path_verdicts"] = _Verdicts({"*": False})
    try:
        yield
    finally:
        settings.update(before)
