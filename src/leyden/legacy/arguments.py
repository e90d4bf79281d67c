"""Trainer arguments of 0.x and 1.x, and what they are called today.

Everything here is names and values: what has to be built is described by a :class:`~leyden.legacy.translation.Build`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any, Never

from leyden.errors import ConfigurationErrors, nearest
from leyden.legacy import hardware
from leyden.legacy.translation import MISSING, Build, Translation
from leyden.legacy.variables import old_variables
from leyden.utils.rank import rank_zero_deprecation

__all__ = [
    "OLD_ARGUMENTS",
    "REMOVED_METHODS",
    "Build",
    "Removed",
    "collect",
    "rename_loaders",
    "translate",
    "translate_call",
]

Rule = Callable[[Translation, str, Any], None]


def translate(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Translate old Trainer arguments, and old values of present ones.

    Args:
        arguments: The keyword arguments of ``Trainer(...)`` as they were given, old and new mixed.

    Returns:
        The arguments with today's names, and one message per old one that shows the line to write. Entries of
        ``callbacks`` and ``logger`` may be :class:`Build` descriptions. One key is no argument of the Trainer:
        ``ckpt_path``, where the first ``fit`` is to resume from. Names that never existed stay, for the Trainer to
        refuse.

    Raises:
        ConfigurationErrors: There are old arguments without a translation; it lists all of them.

    Example:
        >>> translate({"max_nb_epochs": 3, "weights_summary": None})[0]
        {'max_epochs': 3, 'enable_model_summary': False}
    """
    translation = collect(arguments)
    if translation.errors:
        raise ConfigurationErrors(translation.errors)
    return translation.arguments, translation.messages


def collect(arguments: Mapping[str, Any]) -> Translation:
    """Translate like :func:`translate`, but return the errors, to be reported together with others."""
    translation = Translation(dict(arguments))
    hardware.translate(translation)
    for name, rule in (_RENAMED | _RULES).items():
        value = translation.take(name)
        if value is not MISSING:
            rule(translation, name, value)
    for name, revise in _OLD_VALUES.items():
        if name in translation.arguments:
            revise(translation, name, translation.arguments[name])
    translation.messages.extend(old_variables())
    return translation


def translate_call(method: str, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Translate the old loader arguments of ``fit``, ``validate``, ``test`` and ``predict``.

    Raises:
        TypeError: An old and a new name are given together.

    Example:
        >>> translate_call("test", {"test_dataloaders": "loader"})[0]
        {'dataloaders': 'loader'}
    """
    today, messages = dict(arguments), []
    for old, new in _CALLS.get(method, {}).items():
        if old not in today:
            continue
        if today.get(new) is not None:
            raise TypeError(f"`trainer.{method}()` got `{old}` and `{new}`, two names of the same. Keep `{new}`.")
        today[new] = today.pop(old)
        messages.append(f"`trainer.{method}({old}=...)` is an old argument. Write `trainer.{method}({new}=...)`.")
    return today, messages


def rename_loaders(
    method: str, loaders: Mapping[str, Any], old: Mapping[str, Any], known: Iterable[str]
) -> dict[str, Any]:
    """Put the loaders that a call gave under old names, each with a warning, among those under today's.

    Args:
        method: ``fit``, ``validate``, ``test`` or ``predict``.
        loaders: Every loader argument of today, None where it was not given.
        old: The keyword arguments that the method does not have.
        known: Those that it has, to suggest one.

    Returns:
        The loaders by today's names.

    Raises:
        TypeError: A name that never existed, or an old and a new name of the same.
    """
    today, messages = translate_call(method, {**loaders, **old})
    if unknown := sorted(set(today) - set(loaders)):
        close = "".join(nearest(name, known) for name in unknown)
        raise TypeError(
            f"Trainer.{method}() got unexpected keyword arguments {unknown}.{close} Accepted: the arguments that "
            f"`help(leyden.Trainer.{method})` lists."
        )
    for message in messages:
        rank_zero_deprecation(message)
    return today


def _renamed(new: str, convert: Callable[[Any], Any] = lambda value: value) -> Rule:
    """Rule: another name today; ``convert`` adapts the value. None, the default of most old arguments, is left out."""

    def rule(translation: Translation, old: str, value: Any) -> None:
        if value is None:
            translation.drop(old, value)
        else:
            translation.replace(old, value, **{new: convert(value)})

    return rule


def _unless(harmless: tuple[Any, ...], fix: str) -> Rule:
    """Rule: the harmless values are what happens anyway, any other cannot be translated."""

    def rule(translation: Translation, old: str, value: Any) -> None:
        if any(value is one or (value == one and type(value) is type(one)) for one in harmless):
            translation.drop(old, value)
        else:
            translation.refuse(old, value, fix)

    return rule


def _switch(callback: str, **arguments: Any) -> Rule:
    """Rule: a value that is true adds this callback."""

    def rule(translation: Translation, old: str, value: Any) -> None:
        if value:
            translation.add_callback(old, value, Build(callback, arguments))
        else:
            translation.drop(old, value)

    return rule


def _fraction(value: Any) -> Any:
    """A share of the batches: the int 1 meant all of them, not one."""
    return float(value) if isinstance(value, int) else value


def _use_amp(translation: Translation, old: str, value: Any) -> None:
    if value:
        translation.arguments.pop("precision", None)  # `use_amp=True, precision=16` said it twice
        translation.replace(old, value, precision="16-mixed")
    else:
        translation.drop(old, value)


def _amp_backend(translation: Translation, old: str, value: Any) -> None:
    gone = "apex is gone, torch's own mixed precision takes its place" if value == "apex" else "There is one backend"
    translation.drop(old, value, gone)


def _amp_level(translation: Translation, old: str, value: Any) -> None:
    level = str(value).upper()
    today = {"O0": "32-true", "O1": "16-mixed", "O2": "16-mixed", "O3": "16-true"}.get(level)
    if value is None or translation.arguments.get("precision") in (32, "32", "32-true"):
        translation.drop(old, value)
    elif today is None:
        translation.refuse(old, value, 'Write `precision="16-mixed"`')
    else:
        translation.arguments.pop("precision", None)
        translation.replace(old, value, precision=today)


def _resume_from_checkpoint(translation: Translation, old: str, value: Any) -> None:
    if value is None:
        translation.drop(old, value)
    else:
        translation.arguments["ckpt_path"] = value
        translation.messages.append(
            f"`Trainer({old}={value!r})` is an old argument. Write `trainer.fit(model, ckpt_path={value!r})`."
        )


def _weights_summary(translation: Translation, old: str, value: Any) -> None:
    depths = {"top": 1, "full": -1}
    if value is None:
        translation.replace(old, value, enable_model_summary=False)
    elif value in depths:
        translation.add_callback(old, value, Build("ModelSummary", {"max_depth": depths[value]}))
    else:
        translation.refuse(old, value, "Write `callbacks=[ModelSummary(max_depth=1)]`, -1 for all layers")


def _progress_bar_refresh_rate(translation: Translation, old: str, value: Any) -> None:
    position = translation.take("process_position")
    placed = {} if position in (MISSING, None, 0) else {"process_position": position}
    if position is not MISSING:
        text = f"say it where you make the bar: `TQDMProgressBar(process_position={position})`"
        translation.drop("process_position", position, text if placed else "It has no effect")
    if value is None:
        translation.drop(old, value)
    elif value == 0:
        translation.replace(old, value, enable_progress_bar=False)
    elif find_spec("tqdm") is not None:
        translation.add_callback(old, value, Build("TQDMProgressBar", {"refresh_rate": value, **placed}))
    else:
        translation.add_callback(old, value, Build("RichProgressBar", {"refresh_rate": value}))


def _process_position(translation: Translation, old: str, value: Any) -> None:
    if value and find_spec("tqdm") is not None and translation.arguments.get("enable_progress_bar") is not False:
        translation.add_callback(old, value, Build("TQDMProgressBar", {"process_position": value}))
    else:
        translation.drop(old, value)


def _checkpoint_callback(translation: Translation, old: str, value: Any) -> None:
    if value is None or isinstance(value, bool):
        translation.replace(old, value, enable_checkpointing=value is not False)
    else:
        translation.add_callback(old, value, value)


def _weights_save_path(translation: Translation, old: str, value: Any) -> None:
    own = any(_class_named(callback, "ModelCheckpoint") for callback in translation.arguments.get("callbacks") or ())
    if value is None or translation.arguments.get("enable_checkpointing") is False:
        translation.drop(old, value)
    elif own:
        translation.refuse(old, value, f"Write `ModelCheckpoint(dirpath={value!r})` where you make yours")
    else:
        translation.add_callback(old, value, Build("ModelCheckpoint", {"dirpath": value}))


def _early_stop_callback(translation: Translation, old: str, value: Any) -> None:
    if not value:
        translation.drop(old, value)
    elif value is True:
        arguments = {"monitor": "val_loss", "patience": 3, "mode": "min"}
        translation.add_callback(old, value, Build("EarlyStopping", arguments))
    else:
        translation.add_callback(old, value, value)


def _flush_logs(translation: Translation, old: str, value: Any) -> None:
    logger = translation.arguments.get("logger")
    if value is None or logger is False:
        translation.drop(old, value)
    elif logger in (None, True) and any(map(find_spec, ("tensorboard", "tensorboardX"))):
        translation.drop(old, value, "The default logger, TensorBoard's, writes when it has something to write")
    elif logger in (None, True):
        translation.arguments.pop("logger", None)
        folder = translation.arguments.get("default_root_dir") or "."
        arguments = {"save_dir": folder, "flush_logs_every_n_steps": value}
        translation.replace(old, value, logger=Build("CSVLogger", arguments))
    else:
        translation.refuse(old, value, f"Write `flush_logs_every_n_steps={value!r}` where you make your logger")


def _auto_lr_find(translation: Translation, old: str, value: Any) -> None:
    arguments = {"attr_name": value} if isinstance(value, str) else {}
    _switch("LearningRateFinder", **arguments)(translation, old, value)


def _auto_scale_batch_size(translation: Translation, old: str, value: Any) -> None:
    _switch("BatchSizeFinder", mode=value if isinstance(value, str) else "power")(translation, old, value)


def _terminate_on_nan(translation: Translation, old: str, value: Any) -> None:
    if value is None:
        translation.drop(old, value)
    else:
        translation.replace(old, value, nonfinite="raise" if value else "ignore")


def _print_nan_grads(translation: Translation, old: str, value: Any) -> None:
    if value:
        translation.replace(old, value, detect_anomaly=True)
    else:
        translation.drop(old, value)


def _max_steps(translation: Translation, name: str, value: Any) -> None:
    if value is None:
        translation.take(name)
        translation.replace(name, value, max_steps=-1)


def _profiler(translation: Translation, name: str, value: Any) -> None:
    if isinstance(value, bool):
        translation.take(name)
        translation.replace(name, value, profiler="simple" if value else None)


def _accumulate_grad_batches(translation: Translation, name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        translation.take(name)
        translation.add_callback(name, value, Build("GradientAccumulationScheduler", {"scheduling": dict(value)}))


def _logger(translation: Translation, name: str, value: Any) -> None:
    if _class_named(value, "LoggerCollection"):
        translation.take(name)
        translation.replace(name, value, logger=list(value))
    elif _class_named(value, "TestTubeLogger"):
        translation.refuse(name, value, 'Write `logger=CSVLogger("logs")`')


def _class_named(value: Any, name: str) -> bool:
    """Whether a value is an instance of a class of this name; the class itself is in a higher layer, or gone."""
    return any(base.__name__ == name for base in type(value).__mro__)


_RENAMED: dict[str, Rule] = {
    "num_gpu_nodes": _renamed("num_nodes"),
    "nb_gpu_nodes": _renamed("num_nodes"),
    "default_save_path": _renamed("default_root_dir"),
    "max_nb_epochs": _renamed("max_epochs"),
    "min_nb_epochs": _renamed("min_epochs"),
    "nb_sanity_val_steps": _renamed("num_sanity_val_steps"),
    "train_percent_check": _renamed("limit_train_batches", _fraction),
    "val_percent_check": _renamed("limit_val_batches", _fraction),
    "test_percent_check": _renamed("limit_test_batches", _fraction),
    "overfit_pct": _renamed("overfit_batches", _fraction),
    "add_row_log_interval": _renamed("log_every_n_steps"),
    "row_log_interval": _renamed("log_every_n_steps"),
    "gradient_clip": _renamed("gradient_clip_val"),
    "show_progress_bar": _renamed("enable_progress_bar", bool),
    "reload_dataloaders_every_epoch": _renamed("reload_dataloaders_every_n_epochs", int),
    "replace_sampler_ddp": _renamed("use_distributed_sampler"),
}

# In the order of translation: `weights_save_path` looks at what `checkpoint_callback` became.
_RULES: dict[str, Rule] = {
    "amp_backend": _amp_backend,
    "use_amp": _use_amp,
    "amp_level": _amp_level,
    "resume_from_checkpoint": _resume_from_checkpoint,
    "weights_summary": _weights_summary,
    "progress_bar_refresh_rate": _progress_bar_refresh_rate,
    "process_position": _process_position,
    "checkpoint_callback": _checkpoint_callback,
    "weights_save_path": _weights_save_path,
    "early_stop_callback": _early_stop_callback,
    "log_save_interval": _flush_logs,
    "flush_logs_every_n_steps": _flush_logs,
    "auto_lr_find": _auto_lr_find,
    "auto_scale_batch_size": _auto_scale_batch_size,
    "terminate_on_nan": _terminate_on_nan,
    "print_nan_grads": _print_nan_grads,
    "log_gpu_memory": _switch("DeviceStatsMonitor"),
    "gpu_metrics": _switch("DeviceStatsMonitor"),
    "track_grad_norm": _unless(
        (-1, None, False),
        "Write `self.log_dict(grad_norm(self, norm_type=2))` in the module's `on_before_optimizer_step`",
    ),
    "stochastic_weight_avg": _unless((False, None), "Write `callbacks=[StochasticWeightAveraging(swa_lrs=...)]`"),
    "multiple_trainloader_mode": _unless(
        ("max_size_cycle", None), 'Write `trainer.fit(model, CombinedLoader(loaders, mode="min_size"))`'
    ),
    "prepare_data_per_node": _unless(
        (True, None), "Write `self.prepare_data_per_node = False` in the `__init__` of the data module or module"
    ),
    "move_metrics_to_cpu": _unless((False, None), "Write `compute_on_cpu=True` where you make the metric"),
    "truncated_bptt_steps": _unless(
        (None, 0), "Write `self.automatic_optimization = False` and loop over the chunks in `training_step`"
    ),
    "enable_pl_optimizer": _unless((True, None), "Write `self.optimizers(use_pl_optimizer=False)` where you need it"),
    "automatic_optimization": _unless(
        (True, None), "Write `self.automatic_optimization = False` in the `__init__` of the module"
    ),
}

_OLD_VALUES: dict[str, Rule] = {
    "max_steps": _max_steps,
    "profiler": _profiler,
    "accumulate_grad_batches": _accumulate_grad_batches,
    "logger": _logger,
}

OLD_ARGUMENTS: frozenset[str] = frozenset(_RENAMED) | frozenset(_RULES) | hardware.OLD_ARGUMENTS
"""Every argument of 0.x and 1.x that today's Trainer does not have."""

_CALLS: dict[str, dict[str, str]] = {
    "fit": {"train_dataloader": "train_dataloaders", "val_dataloader": "val_dataloaders"},
    "validate": {"val_dataloaders": "dataloaders", "val_dataloader": "dataloaders"},
    "test": {"test_dataloaders": "dataloaders", "test_dataloader": "dataloaders"},
    "predict": {"predict_dataloaders": "dataloaders", "predict_dataloader": "dataloaders"},
}

_PARSER = "is gone. Write `LightningCLI(...)`, or build the arguments yourself: `Trainer(**vars(args))`."

REMOVED_METHODS: dict[str, str] = {
    "add_argparse_args": f"`Trainer.add_argparse_args` {_PARSER}",
    "from_argparse_args": f"`Trainer.from_argparse_args` {_PARSER}",
    "parse_argparser": f"`Trainer.parse_argparser` {_PARSER}",
    "match_env_arguments": f"`Trainer.match_env_arguments` {_PARSER}",
    "tune": "`trainer.tune` is gone. Write `Tuner(trainer).lr_find(model)` or `.scale_batch_size(model)`.",
}
"""Methods of the old Trainer, and what to say to a program that calls one."""


class Removed:
    """Stands in a class for a method that is gone: asking for it says what to write today.

    Example:
        >>> class Trainer:
        ...     tune = Removed("`trainer.tune` is gone.")
        >>> hasattr(Trainer, "tune"), hasattr(Trainer(), "tune")
        (False, False)
    """

    def __init__(self, message: str) -> None:
        self.message = message

    def __get__(self, instance: object, owner: type | None = None) -> Never:
        raise AttributeError(self.message)
