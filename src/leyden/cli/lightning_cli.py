"""LightningCLI: a program whose arguments are those of its Trainer, model, data, optimizer and callbacks."""

from __future__ import annotations

import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from leyden.cli.allowed import allow_imports, own_packages_of, refused_in
from leyden.cli.instantiation import Recorder, instantiate_class
from leyden.cli.parser import AUTOMATIC, ArgsType, ConfigFile, LightningArgumentParser, Namespace, class_of
from leyden.cli.save_config import SaveConfigCallback
from leyden.cli.schedulers import ReduceLROnPlateau
from leyden.core.datamodule import LightningDataModule
from leyden.core.hparams import read_checkpoint, restore_hparams
from leyden.core.module import LightningModule
from leyden.errors import LightningDeprecationWarning, MisconfigurationException, bad_value, nearest
from leyden.trainer import Trainer
from leyden.utils.overrides import is_overridden
from leyden.utils.rank import rank_zero_warn
from leyden.utils.seed import seed_everything

_SAVING = {"config_filename": "config_filename", "config_overwrite": "overwrite", "config_multifile": "multifile"}
_PARSING = {"description": "description", "env_prefix": "env_prefix", "env_parse": "default_env"}
_OLD = {f"save_{old}": ("save_config_kwargs", new) for old, new in _SAVING.items()} | {
    old: ("parser_kwargs", new) for old, new in _PARSING.items()
}
"""Arguments of 1.x: which dict they are in today, and under which name."""


class LightningCLI:
    """Builds Trainer, model and data from a command line, configuration files and the environment, and runs them.

    Written at the end of a script, it is the whole script: ``python main.py fit --config config.yaml --model.lr 0.1``.

    A configuration names classes by path. Only paths of the framework, torch, torchmetrics and the program itself are
    imported, and those that ``allowed`` names; see :mod:`leyden.cli.allowed`.

    Args:
        model_class: The module's class, or a function that returns one; None: ``--model CLASS`` chooses.
        datamodule_class: The same for data; None: ``--data CLASS`` may choose.
        save_config_callback: Saves the configuration of a run; None: nothing does.
        save_config_kwargs: Its arguments.
        trainer_class: The Trainer's class, or a function that returns one.
        trainer_defaults: Defaults of Trainer arguments; its ``callbacks`` are added to whatever is chosen.
        seed_everything_default: The default of ``--seed_everything``: a seed; True: that of ``PL_GLOBAL_SEED``, else 0;
            False: none.
        parser_kwargs: Arguments of the parser, or of those of sub-commands: ``{"fit": {...}}``.
        parser_class: The parser's class.
        subclass_mode_model: Let ``--model CLASS`` choose a sub-class of ``model_class``.
        subclass_mode_data: Let ``--data CLASS`` choose a sub-class of ``datamodule_class``.
        args: Arguments instead of the command line: strings as there, or a dict or Namespace of values.
        run: Whether the first argument is a sub-command and is run. False: build only.
        auto_configure_optimizers: Whether there are ``--optimizer`` and ``--lr_scheduler``, which take the place of the
            model's ``configure_optimizers``.
        load_from_checkpoint_support: Whether the configuration becomes hyper-parameters of model and data, so that
            ``load_from_checkpoint`` can build again what it names.
        allowed: Packages, modules or classes that a configuration may name too; see :func:`leyden.cli.allow_imports`.
        old: Arguments of 1.x, translated with a warning.

    Attributes:
        model, datamodule, trainer: What was built.
        config: The configuration, as parsed.
        config_init: The same, with objects in place of their descriptions.
        parser: The parser.
        subcommand: What ran; None with ``run=False``.
    """

    def __init__(
        self,
        model_class: type[LightningModule] | Callable[..., LightningModule] | None = None,
        datamodule_class: type[LightningDataModule] | Callable[..., LightningDataModule] | None = None,
        save_config_callback: type[SaveConfigCallback] | None = SaveConfigCallback,
        save_config_kwargs: dict[str, Any] | None = None,
        trainer_class: type[Trainer] | Callable[..., Trainer] = Trainer,
        trainer_defaults: dict[str, Any] | None = None,
        seed_everything_default: bool | int | None = True,
        parser_kwargs: dict[str, Any] | None = None,
        parser_class: type[LightningArgumentParser] = LightningArgumentParser,
        subclass_mode_model: bool = False,
        subclass_mode_data: bool = False,
        args: ArgsType = None,
        run: bool = True,
        auto_configure_optimizers: bool = True,
        load_from_checkpoint_support: bool = True,
        allowed: Sequence[str] = (),
        **old: Any,
    ) -> None:
        renamed = _translate(old, save_config_kwargs, parser_kwargs)
        self.save_config_callback = save_config_callback
        self.save_config_kwargs = renamed["save_config_kwargs"]
        self.parser_kwargs = renamed["parser_kwargs"]
        self.trainer_class = trainer_class
        self.trainer_defaults = trainer_defaults or {}
        self.seed_everything_default = _checked_seed(seed_everything_default)
        self.parser_class = parser_class
        self.model_class = model_class
        self.datamodule_class = datamodule_class
        self.subclass_mode_model = model_class is None or subclass_mode_model
        self.subclass_mode_data = datamodule_class is None or subclass_mode_data
        self.auto_configure_optimizers = auto_configure_optimizers
        self.load_from_checkpoint_support = load_from_checkpoint_support
        if os.environ.get("JSONARGPARSE_DEBUG", "").lower() not in ("", "true", "false"):
            os.environ["JSONARGPARSE_DEBUG"] = "true"  # it takes no other word, and users write 1
        allow_imports(*([allowed] if isinstance(allowed, str) else allowed))
        own_packages_of(model_class, datamodule_class, trainer_class, save_config_callback, type(self), _caller())

        main, parts = self._split_parser_kwargs()
        self.setup_parser(run, main, parts)
        self.parse_arguments(self.parser, args)
        self.subcommand: str | None = self.config["subcommand"] if run else None
        self._set_seed()
        self.before_instantiate_classes()
        self.instantiate_classes()
        self.after_instantiate_classes()
        if self.subcommand:
            self._run_subcommand(self.subcommand)

    # -- the parser -------------------------------------------------------------------------------------------------

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Make a parser that reads configuration files."""
        kwargs.setdefault("dump_header", [f"leyden=={sys.modules['leyden'].__version__}"])
        parser = self.parser_class(**kwargs)
        help_ = "Path or URL of a configuration file in json or yaml format."
        parser.add_argument("-c", "--config", action=ConfigFile, help=help_)
        return parser

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Make :attr:`parser`, with the arguments of everything or with a parser for each sub-command."""
        self.parser = self.init_parser(**main_kwargs)
        self._parsers: dict[str, LightningArgumentParser] = {}
        if not add_subcommands:
            self._add_arguments(self.parser)
            self.parser.usage = "%(prog)s [options]"
            return
        commands, kind = self.parser.add_subcommands(), class_of(self.trainer_class)
        for name, not_given in self.subcommands().items():
            method = getattr(kind, name)
            summary = re.sub(r":\w+:`|`", "", (inspect.getdoc(method) or "").partition("\n")[0])
            parser = self.init_parser(**{"description": summary, **subparser_kwargs.get(name, {})})
            self._add_arguments(parser)
            skip: set[str | int] = {*not_given, *_variable(method)}
            self._method_arguments[name] = parser.add_method_arguments(kind, name, skip=skip, as_group=False)
            commands.add_subcommand(name, parser, help=summary)
            parser.usage = "%(prog)s [options]"
            self._parsers[name] = parser

    def _split_parser_kwargs(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self._method_arguments: dict[str, list[str]] = {}
        names = self.subcommands().keys()
        main = {key: value for key, value in self.parser_kwargs.items() if key not in names}
        return main, {key: value for key, value in self.parser_kwargs.items() if key in names}

    def _add_arguments(self, parser: LightningArgumentParser) -> None:
        self.add_default_arguments_to_parser(parser)
        self.add_core_arguments_to_parser(parser)
        self.add_arguments_to_parser(parser)
        if self.auto_configure_optimizers:
            if not parser.optimizers:
                parser.add_optimizer_args()
            if not parser.schedulers:
                parser.add_lr_scheduler_args()
        self.link_optimizers_and_lr_schedulers(parser)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--seed_everything``."""
        parser.add_argument(
            "--seed_everything",
            type=bool | int,
            default=self.seed_everything_default,
            help="A seed for all random numbers, set before anything is built. True: PL_GLOBAL_SEED, else 0. False: none.",
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the arguments of Trainer, model and data."""
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.set_defaults({f"trainer.{k}": v for k, v in self.trainer_defaults.items() if k != "callbacks"})
        parser.add_lightning_class_args(
            self.model_class or LightningModule, "model", subclass_mode=self.subclass_mode_model
        )
        if self.datamodule_class is not None:
            parser.add_lightning_class_args(self.datamodule_class, "data", subclass_mode=self.subclass_mode_data)
        else:  # data are optional: the model may have its own
            parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True, required=False)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Override it to add arguments, defaults and links of your own."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The Trainer's methods that can be run, and those of their arguments that are no options."""
        evaluated = {"model", "dataloaders", "datamodule"}
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"},
            "validate": set(evaluated),
            "test": set(evaluated),
            "predict": set(evaluated),
        }

    @staticmethod
    def link_optimizers_and_lr_schedulers(parser: LightningArgumentParser) -> None:
        """Hand class path and arguments of optimizers and schedulers to the model's arguments that they are linked to."""
        for key, (classes, target) in {**parser.optimizers, **parser.schedulers}.items():
            if target != AUTOMATIC:
                parser.link_arguments(key, target, None if isinstance(classes, tuple) else partial(_described, classes))

    # -- parsing ----------------------------------------------------------------------------------------------------

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse into :attr:`config`."""
        if args is not None and len(sys.argv) > 1:
            text = "args are meant for use from Python; those of the command line are ignored"
            rank_zero_warn(f"LightningCLI got both args={args} and sys.argv[1:]={sys.argv[1:]}: {text}.", 3)
        if isinstance(args, (dict, Namespace)):
            self.config = parser.parse_object(args)
        else:
            self.config = parser.parse_args(args)
        if refused := next(refused_in(self.config), None):
            parser.error(refused)
        self._refuse_unsafe_files(parser, args)
        self._merge_checkpoint(parser)

    def _refuse_unsafe_files(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """``weights_only=False`` runs code from a checkpoint: a file may not ask for it, only whoever starts the program."""
        if self._get(self.config, "weights_only") is not False or isinstance(args, (dict, Namespace)):
            return
        words = " ".join(sys.argv[1:] if args is None else args)
        variable = any(name.endswith("_WEIGHTS_ONLY") for name in os.environ)
        if not variable and not re.search(r"--weights\w*[= ](false|no|off)\b", words, re.IGNORECASE):
            fix = "give it as an option, --weights_only=false"
            parser.error(
                f"`weights_only: false` in a file is refused: it runs code that a checkpoint holds. Fix: {fix}."
            )

    def _merge_checkpoint(self, parser: LightningArgumentParser) -> None:
        """Let the hyper-parameters of ``--ckpt_path`` win over the configuration of model."""
        path = self._get(self.config, "ckpt_path")
        if not path or not Path(path).is_file():
            return
        checkpoint = read_checkpoint(path, "cpu", None)
        hparams: dict[str, Any] = dict(restore_hparams(checkpoint.get("hyper_parameters") or {}))
        hparams.pop("_instantiator", None)
        if (holder := checkpoint.get("hparams_name")) not in (None, "kwargs"):  # the argument that held them all
            hparams = {holder: hparams}
        for target in self._parser.link_targets:
            hparams.pop(target.removeprefix("model.").removeprefix("init_args."), None)
        if chosen := hparams.pop("_class_path", None):
            hparams = {"class_path": chosen, "init_args": hparams}
        if not hparams:
            return
        merged: dict[str, Any] = {"model": hparams}
        if self.config.get("subcommand"):
            merged = {self.config["subcommand"]: merged}
        try:
            self.config = parser.parse_object(merged, self.config)
        except SystemExit:
            sys.stderr.write(
                f"The hyper-parameters in {str(path)!r} do not fit the model that the configuration names.\n"
            )
            raise

    @property
    def _parser(self) -> LightningArgumentParser:
        """The parser that knows model, data and Trainer."""
        return self._parsers.get(self.config.get("subcommand"), self.parser)

    def _get(self, config: Any, key: str, default: Any = None) -> Any:
        """A value of a configuration, below the sub-command where there is one."""
        name = self.config.get("subcommand")
        return (config[name] if name else config).get(key, default)

    def _set_seed(self) -> None:
        seed = self._get(self.config, "seed_everything")
        if seed is False:
            return
        if seed is True:
            seed = None if "PL_GLOBAL_SEED" in os.environ else 0
        part = self.config[self.subcommand] if self.subcommand else self.config
        part["seed_everything"] = seed_everything(seed, workers=True)

    # -- building ---------------------------------------------------------------------------------------------------

    def before_instantiate_classes(self) -> None:
        """Override it to do something when the configuration is parsed and nothing is built."""

    def after_instantiate_classes(self) -> None:
        """Override it to do something when all is built."""

    def instantiate_classes(self) -> None:
        """Build :attr:`config_init`, :attr:`model`, :attr:`datamodule` and :attr:`trainer`."""
        recorders = []
        if self.load_from_checkpoint_support:
            plain = self.parser.as_plain(self.config)
            for key, kind in (("model", LightningModule), ("data", LightningDataModule)):
                recorders.append((Recorder(self._get(plain, key) or {}, key), kind, True))
        self.config_init = self.parser.instantiate(self.config, instantiators=recorders)
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")
        self._set_optimizers()
        self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the Trainer.

        Args:
            kwargs: Arguments that win over the configuration.
        """
        config = {**self._get(self.config_init, "trainer", {}), **kwargs}
        callbacks = _listed(config.get("callbacks"))
        callbacks += [self._get(self.config_init, key) for key in self._parser.callback_keys]
        callbacks += _listed(self.trainer_defaults.get("callbacks"))
        if self.save_config_callback and not config.get("fast_dev_run"):
            callbacks.append(self.save_config_callback(self._parser, self._saved_config, **self.save_config_kwargs))
        return self.trainer_class(**{**config, "callbacks": callbacks})

    @property
    def _saved_config(self) -> Namespace:
        config: Namespace = self.config[self.subcommand] if self.subcommand else self.config
        return config

    def _set_optimizers(self) -> None:
        """Put the configured optimizer and scheduler in the place of the model's ``configure_optimizers``."""
        if not self.auto_configure_optimizers:
            return
        found = [
            {key: classes for key, (classes, target) in group.items() if target == AUTOMATIC}
            for group in (self._parser.optimizers, self._parser.schedulers)
        ]
        if any(len(group) > 1 for group in found):
            raise MisconfigurationException(
                f"At most one optimizer and one scheduler can be used as they are, but there are {[*found[0], *found[1]]}. "
                'Fix: add_optimizer_args(..., link_to="model.<argument>"), and build them in `configure_optimizers`.'
            )
        optimizer, scheduler = (self._late(group) for group in found)
        if optimizer is None:
            if scheduler is not None:
                text = "A learning-rate scheduler was chosen, but no optimizer: it is not used"
                rank_zero_warn(f"{text}. Fix: --optimizer CLASS, or make it in the model's configure_optimizers.", 4)
            return
        if is_overridden("configure_optimizers", self.model):
            own, ours = type(self.model).__qualname__, type(self).__qualname__
            rank_zero_warn(f"`{ours}.configure_optimizers` takes the place of `{own}.configure_optimizers`.", 4)
        self.model.configure_optimizers = partial(
            _make_optimizers, self.configure_optimizers, self.model, optimizer, scheduler
        )

    def _late(self, group: Mapping[str, Any]) -> dict[str, Any] | None:
        """Class path and arguments of the one optimizer or scheduler of a group; None if none is chosen."""
        for key, classes in group.items():
            chosen = self._get(self.config_init, key)
            if chosen:
                return _as_dict(chosen) if isinstance(classes, tuple) else _described(classes, _as_dict(chosen))
        return None

    @staticmethod
    def configure_optimizers(
        lightning_module: LightningModule,
        optimizer: Optimizer,
        lr_scheduler: LRScheduler | ReduceLROnPlateau | None = None,
    ) -> Any:
        """What the model's ``configure_optimizers`` returns when the configuration chooses; override it to change that."""
        if lr_scheduler is None:
            return optimizer
        if isinstance(lr_scheduler, ReduceLROnPlateau):
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": lr_scheduler, "monitor": lr_scheduler.monitor},
            }
        return [optimizer], [lr_scheduler]

    # -- running ----------------------------------------------------------------------------------------------------

    def _run_subcommand(self, name: str) -> None:
        """Call ``before_<name>``, a method ``<name>`` of ours or the Trainer's, and ``after_<name>``."""
        config = self.config_init[name]
        given = {key: config[key] for key in self._method_arguments[name]}
        given["model"] = self.model
        if self.datamodule is not None:
            given["datamodule"] = self.datamodule
        for method in (f"before_{name}", name, f"after_{name}"):
            if method == name:
                getattr(self, name, getattr(self.trainer, name))(**given)
            elif hook := getattr(self, method, None):
                hook()


def _make_optimizers(configure: Callable[..., Any], model: nn.Module, optimizer: Any, scheduler: Any) -> Any:
    """``configure_optimizers`` of a model whose optimizer the configuration chose."""
    made = instantiate_class((model.parameters(),), optimizer)
    return configure(model, made, instantiate_class((made,), scheduler) if scheduler else None)


def _described(cls: type, arguments: Any) -> dict[str, Any]:
    return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": _as_dict(arguments)}


def _as_dict(config: Any) -> dict[str, Any]:
    return dict(config.as_dict() if isinstance(config, Namespace) else config)


def _listed(callbacks: Any) -> list[Any]:
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]


def _variable(method: Callable[..., Any]) -> set[str]:
    """The names of ``*args`` and ``**kwargs``, which are no options."""
    parameters = inspect.signature(method).parameters.values()
    return {p.name for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def _caller() -> Any:
    """The module whose code makes the command line."""
    frame = inspect.currentframe()
    while frame and frame.f_globals.get("__name__", "").startswith("leyden.cli"):
        frame = frame.f_back
    return sys.modules.get(frame.f_globals.get("__name__", "")) if frame else None


def _checked_seed(seed: Any) -> bool | int:
    if seed is None:
        text = "LightningCLI(seed_everything_default=None) is of 1.x. Write: seed_everything_default=False"
        warnings.warn(text, LightningDeprecationWarning, stacklevel=3)
        return False
    if not isinstance(seed, int):
        raise ValueError(bad_value("seed_everything_default", seed, "True, False or a seed (int)"))
    return seed


def _translate(old: dict[str, Any], saving: dict[str, Any] | None, parsing: dict[str, Any] | None) -> dict[str, Any]:
    """The two dicts of arguments, with those of 1.x in them; one warning for each."""
    groups = {"save_config_kwargs": dict(saving or {}), "parser_kwargs": dict(parsing or {})}
    for name, value in old.items():
        if name not in _OLD:
            known = [*inspect.signature(LightningCLI).parameters, *_OLD]
            raise TypeError(f"LightningCLI() got an unexpected keyword argument {name!r}.{nearest(name, known)}")
        group, new = _OLD[name]
        groups[group][new] = value
        text = f"LightningCLI({name}=...) is of 1.x. Write: LightningCLI({group}={{{new!r}: {value!r}}})"
        warnings.warn(text, LightningDeprecationWarning, stacklevel=3)
    return groups
