"""Old arguments about devices and strategies: ``gpus``, ``tpu_cores``, ``num_processes``, ``distributed_backend``."""

from __future__ import annotations

from typing import Any

from leyden.legacy.translation import MISSING, Translation

STRATEGIES = {
    "dp": "ddp",
    "ddp2": "ddp",
    "horovod": "ddp",
    "ddp_cpu": "ddp_spawn",
    "ddp_sharded": "fsdp",
    "ddp_sharded_spawn": "fsdp",
    "ddp_sharded_find_unused_parameters_false": "fsdp",
    "ddp_fully_sharded": "fsdp",
    "fsdp_native": "fsdp",
    "fsdp_native_full_shard_offload": "fsdp_cpu_offload",
    "tpu_spawn": "xla",
    "tpu_spawn_debug": "xla_debug",
}
"""Names of strategies that are gone, and the one that does their work today."""

EXTERNAL = ("bagua", "colossalai", "hivemind")
"""Strategies that live outside, in packages of their own, and have no counterpart."""

OLD_ARGUMENTS = frozenset(
    ("gpus", "auto_select_gpus", "tpu_cores", "num_tpu_cores", "ipus", "num_processes", "distributed_backend")
)

_FAMILIES = ("ddp", "fsdp", "deepspeed", "xla")


def translate(translation: Translation) -> None:
    """Translate the arguments about devices and strategies, which depend on each other."""
    _plugins(translation)
    for name in ("distributed_backend", "accelerator"):
        _backend(translation, name)
    _strategy(translation)
    _gpus(translation)
    for name in ("tpu_cores", "num_tpu_cores"):
        _tpu_cores(translation, name)
    _ipus(translation)
    _num_processes(translation)


def _is_strategy(name: Any) -> bool:
    """Whether a value that stands where a strategy does not belong is the name of one."""
    return isinstance(name, str) and (name in STRATEGIES or name in EXTERNAL or name.startswith(_FAMILIES))


def _plugins(translation: Translation) -> None:
    """``plugins="deepspeed"``: strategies were once named among the plugins."""
    plugins = translation.arguments.get("plugins")
    listed = list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
    names = [str(plugin) for plugin in listed if _is_strategy(plugin)]
    if not names:
        return
    kept = [plugin for plugin in listed if not _is_strategy(plugin)]
    translation.take("plugins")
    if kept:
        translation.arguments["plugins"] = kept
    _put_strategy(translation, "plugins", names[0])


def _backend(translation: Translation, old: str) -> None:
    """``distributed_backend="ddp"`` and ``accelerator="ddp"``: the strategy had other names."""
    value = translation.arguments.get(old, MISSING)
    if old == "accelerator" and not _is_strategy(value):
        return
    if translation.take(old) is MISSING:
        return
    if value is None:
        translation.drop(old, value)
        return
    if value == "ddp_cpu":
        translation.arguments.setdefault("accelerator", "cpu")
    if value == "ddp" and "strategy" in translation.arguments:
        # `accelerator="ddp", plugins="ddp_sharded"`: the plugin said which kind of ddp.
        translation.drop(old, value, "The strategy is given")
    else:
        _put_strategy(translation, old, value)


def _put_strategy(translation: Translation, old: str, value: str) -> None:
    if value in EXTERNAL:
        translation.refuse(old, value, 'That strategy is a package of its own today. Write `strategy="ddp"` or "fsdp"')
    else:
        translation.replace(old, value, strategy=STRATEGIES.get(value, value))


def _strategy(translation: Translation) -> None:
    """``strategy="dp"``: names that are gone."""
    value = translation.arguments.get("strategy")
    if isinstance(value, str) and (value in STRATEGIES or value in EXTERNAL):
        translation.take("strategy")
        _put_strategy(translation, "strategy", value)


def _gpus(translation: Translation) -> None:
    gpus, choose = translation.take("gpus"), translation.take("auto_select_gpus")
    asked = gpus is not MISSING and gpus not in (None, 0, "0", "", [], ())
    # `gpus=None, auto_select_gpus=True` asked for no GPU; without `gpus` it asks for what there is.
    falls_back = gpus in (-1, "-1") or (choose is True and (asked or gpus is MISSING))
    if falls_back:
        _any_gpu(translation, gpus, choose)
        return
    if choose is not MISSING:
        translation.drop("auto_select_gpus", choose)
    if asked:
        translation.replace("gpus", gpus, accelerator="gpu", devices=gpus)
    elif gpus is not MISSING:
        taken = {"accelerator", "tpu_cores", "num_tpu_cores"} & translation.arguments.keys()
        if taken:
            translation.drop("gpus", gpus)
        else:
            translation.replace("gpus", gpus, accelerator="cpu")


def _any_gpu(translation: Translation, gpus: Any, choose: Any) -> None:
    """Translate the two requests that run on the CPU of a machine without a GPU: all GPUs there are, or free ones."""
    if _gpu_present():
        today = {"accelerator": "gpu", "devices": -1 if gpus is MISSING else gpus}
        note = ""
    else:
        today = {"accelerator": "auto", "devices": "auto"}
        note = "No GPU was found: the run uses the CPU"
    if gpus is not MISSING:
        translation.replace("gpus", gpus, note, **today)
        if choose is not MISSING:
            translation.drop("auto_select_gpus", choose, "Free devices are `find_usable_cuda_devices(n)` today")
    else:
        translation.replace("auto_select_gpus", choose, note, **today)


def _gpu_present() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _tpu_cores(translation: Translation, old: str) -> None:
    cores = translation.take(old)
    if cores is MISSING:
        return
    if cores in (None, 0):
        translation.drop(old, cores)
    else:
        translation.replace(old, cores, accelerator="tpu", devices=cores)


def _ipus(translation: Translation) -> None:
    ipus = translation.take("ipus")
    if ipus is MISSING:
        return
    if ipus in (None, 0):
        translation.drop("ipus", ipus)
    else:
        translation.refuse("ipus", ipus, 'IPUs are not supported any more. Write `accelerator="auto", devices="auto"`')


def _num_processes(translation: Translation) -> None:
    """``num_processes=n``: processes on the CPU; beside GPUs or TPUs it had no effect."""
    count = translation.take("num_processes")
    if count is MISSING:
        return
    if count is None or translation.arguments.get("accelerator", "cpu") != "cpu" or translation.errors:
        translation.drop("num_processes", count)
        return
    strategy = translation.arguments.get("strategy")
    if isinstance(count, int) and count > 1 and strategy is None:
        translation.replace("num_processes", count, accelerator="cpu", devices=count, strategy="ddp_spawn")
    else:
        translation.replace("num_processes", count, accelerator="cpu", devices=count)
