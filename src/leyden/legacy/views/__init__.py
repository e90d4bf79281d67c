"""Read-only views of what programs reach for by Lightning's private names.

Nothing needs this folder: :mod:`leyden.legacy.alias` asks here for a private name or attribute, and works without it.
"""

from __future__ import annotations

import importlib
from typing import Any

_VIEWS = "leyden.legacy.views"
_VALUES = f"{_VIEWS}.values"
_UTILITIES = "leyden.legacy.utilities"

PRIVATE: dict[str, dict[str, str]] = {
    "fabric.utilities.device_parser": {
        "_check_data_type": f"{_VALUES}:check_data_type",
        "_check_unique": f"{_VALUES}:check_unique",
        "_normalize_parse_gpu_string_input": f"{_VALUES}:parse_device_string",
    },
    "fabric.utilities.distributed": {"_distributed_is_initialized": f"{_VALUES}:distributed_is_initialized"},
    "fabric.utilities.load": {
        "_NotYetLoadedTensor": f"{_VALUES}:NotYetLoadedTensor",
        "_lazy_load": f"{_VALUES}:lazy_load",
    },
    "fabric.utilities.registry": {"_register_classes": f"{_VALUES}:register_classes"},
    "fabric.utilities.types": {
        "_DEVICE": f"{_UTILITIES}.types:DEVICE",
        "_MAP_LOCATION_TYPE": f"{_UTILITIES}.types:MAP_LOCATION_TYPE",
        "_PARAMETERS": f"{_UTILITIES}.types:Parameters",
        "_PATH": f"{_UTILITIES}.types:PATH",
    },
    "pytorch.core.optimizer": {"_MockOptimizer": "leyden.core.optimizers:NoOptimizer"},
    "pytorch.core.saving": {"_load_from_checkpoint": f"{_VALUES}:load_from_checkpoint"},
    "pytorch.trainer.connectors.accelerator_connector": {
        "_AcceleratorConnector": f"{_VIEWS}.connectors:AcceleratorConnector",
        "_IS_INTERACTIVE": f"{_VALUES}:IS_INTERACTIVE",
    },
    "pytorch.trainer.connectors.callback_connector": {
        "_CallbackConnector": f"{_VIEWS}.connectors:CallbackConnector",
    },
    "pytorch.trainer.connectors.checkpoint_connector": {
        "_CheckpointConnector": f"{_VIEWS}.connectors:CheckpointConnector",
    },
    "pytorch.trainer.connectors.logger_connector.result": {
        "_OUT_DICT": f"{_VALUES}:OUT_DICT",
        "_ResultCollection": f"{_VIEWS}.results:ResultCollection",
        "_ResultMetric": f"{_VIEWS}.results:ResultMetric",
    },
    "pytorch.trainer.setup": {"_log_device_info": f"{_VALUES}:log_device_info"},
    "pytorch.utilities.types": {
        "_EVALUATE_OUTPUT": f"{_UTILITIES}.types:EVALUATE_OUTPUT",
        "_METRIC": f"{_UTILITIES}.types:METRIC",
        "_PREDICT_OUTPUT": f"{_UTILITIES}.types:PREDICT_OUTPUT",
    },
}
"""Private names of Lightning's modules, by path as in :data:`~leyden.legacy.names.PATHS`."""

_LOOP = "epoch_batch_indices epoch_loop epoch_progress batch_idx total_batch_idx _data_source"
_STRATEGY = (
    "checkpoint_io connect lightning_module load_checkpoint lr_scheduler_configs model optimizers precision_plugin "
    "remove_checkpoint save_checkpoint"
)
ATTRIBUTES: dict[str, dict[str, str]] = {
    "Trainer": {
        "_accelerator_connector": f"{_VIEWS}.connectors:AcceleratorConnector",
        "_callback_connector": f"{_VIEWS}.connectors:CallbackConnector",
        "_checkpoint_connector": f"{_VIEWS}.connectors:CheckpointConnector",
        "_results": f"{_VIEWS}.results:results_of",
    },
    "Loop": {name: f"{_VIEWS}.loops:{name.strip('_')}" for name in _LOOP.split()},
    "Strategy": {name: f"{_VIEWS}.strategies:{name}" for name in _STRATEGY.split()},
}
"""Attributes by the name of the class that is asked for them, and the function or class that is called with it."""


def look(owner: Any, name: str) -> Any:
    """Return the view ``name`` of an object.

    Raises:
        AttributeError: There is none.
    """
    kind = type(owner)
    for ancestor in kind.__mro__:
        target = ATTRIBUTES.get(ancestor.__name__, {}).get(name)
        if target is not None:
            module, _, attribute = target.partition(":")
            return getattr(importlib.import_module(module), attribute)(owner)
    text = f"{kind.__name__!r} object has no attribute {name!r}"
    if name.startswith("_") and not name.startswith("__"):
        text += ". In Lightning it is private, or gone; Leyden has no counterpart of it"
    raise AttributeError(text)
