"""What PyTorch's own profiler sees: operators, modules and devices, as a table and as a Chrome trace."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import emit_nvtx as emit_nvtx_ranges
from torch.autograd.profiler_util import EventList
from torch.profiler import (
    ProfilerAction,
    profile,
    record_function,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)
from torch.utils.hooks import RemovableHandle

from leyden.core.profiler import Profiler
from leyden.errors import MisconfigurationException, bad_value, nearest

SORT_KEYS = {
    "count", "cpu_time", "cpu_time_total", "self_cpu_time_total", "cpu_memory_usage", "self_cpu_memory_usage",
    "cuda_time", "cuda_time_total", "self_cuda_time_total", "cuda_memory_usage", "self_cuda_memory_usage",
}  # fmt: skip
STEPS = {
    "train": "training_step",
    "validate": "validation_step",
    "test": "test_step",
    "predict": "predict_step",
}
"""The stages that are recorded, each for itself, and the names that their traces get."""
LOOPS = ("run_training_epoch", "_next", *STEPS.values())
WAIT, WARMUP, ACTIVE = 1, 1, 3
NOTHING = ProfilerAction.NONE
TRACED = torch.jit.ScriptModule

Schedule = Callable[[int], ProfilerAction]


class RegisterRecordFunction:
    """A context in which each forward pass of a sub-module is a named range of ``torch.profiler``.

    Args:
        model: Its sub-modules get the ranges ``[pl][module]{class}: {path}``.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2))
        >>> with torch.profiler.profile() as profiler, RegisterRecordFunction(model):
        ...     output = model(torch.ones(1, 2))
        >>> [event.key for event in profiler.key_averages() if event.key.startswith("[pl]")]
        ['[pl][module]torch.nn.modules.linear.Linear: 0']
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._handles: list[RemovableHandle] = []
        self._records: list[record_function] = []

    def __enter__(self) -> None:
        for path, module in self.model.named_modules():
            if path and not isinstance(module, TRACED):
                enter = partial(self._enter, f"[pl][module]{torch.typename(module)}: {path}")
                self._handles.append(module.register_forward_pre_hook(enter))
                self._handles.append(module.register_forward_hook(self._leave, always_call=True))

    def __exit__(self, *error: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._records.append(record_function(name))
        self._records[-1].__enter__()  # type: ignore[no-untyped-call]

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._records.pop().__exit__(None, None, None)


class PyTorchProfiler(Profiler):
    """Records operators with ``torch.profiler``: a table at the end, and Chrome traces.

    Training, validation, testing and prediction are each recorded for themselves; the sanity check is not. Without a
    ``schedule``, each waits one step, warms up for one and records three, once (all of the first epoch, if that has
    fewer than five). A schedule of your own counts the steps of each kind through the whole run. The table is that of
    each kind's last trace; the traces hold them all. Open them in https://ui.perfetto.dev or ``chrome://tracing``.

    Args:
        dirpath: The folder of report and traces; default: the logger's folder, else the Trainer's root folder.
        filename: The middle of the file names; None prints the table.
        group_by_input_shapes: A row for each operator and shape of its inputs.
        emit_nvtx: Emit NVTX ranges, for a program that runs under Nvidia's profilers; there is no table then.
        export_to_chrome: Write each trace, as ``{stage}-{filename}-{kind}.{time}.pt.trace.json``.
        row_limit: Rows of the table; -1 shows all.
        sort_by_key: The column that orders the table; default: the total time on the device.
        record_module_names: Record the forward pass of each sub-module.
        table_kwargs: Arguments of ``EventList.table``, such as ``max_name_column_width``.
        **profiler_kwargs: Arguments of ``torch.profiler.profile``, such as ``schedule``, ``profile_memory`` and
            ``with_stack``. ``export_to_flame_graph=True`` writes the stacks of ``with_stack=True`` too, by ``metric``.

    Raises:
        MisconfigurationException: An unknown ``sort_by_key``; a ``schedule`` that returns no ``ProfilerAction``;
            ``emit_nvtx`` without CUDA.
        KeyError: ``table_kwargs`` holds what ``EventList.table`` does not take, or an argument from above.
        TypeError: ``torch.profiler.profile`` has no such argument.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        group_by_input_shapes: bool = False,
        emit_nvtx: bool = False,
        export_to_chrome: bool = True,
        row_limit: int = 20,
        sort_by_key: str | None = None,
        record_module_names: bool = True,
        table_kwargs: dict[str, Any] | None = None,
        **profiler_kwargs: Any,
    ) -> None:
        super().__init__(dirpath, filename)
        on_device = torch.cuda.is_available()
        options = {"activities": supported_activities(), "record_shapes": group_by_input_shapes, **profiler_kwargs}  # type: ignore[no-untyped-call]
        self._flame_graph = options.pop("export_to_flame_graph", False)
        self._metric = options.pop("metric", "self_cuda_time_total" if on_device else "self_cpu_time_total")
        self._by_default = "schedule" not in options
        self._schedule: Schedule | None = options.pop("schedule", None)
        self._on_trace_ready = options.pop("on_trace_ready", None)
        self._options = options
        self._group_by_input_shapes = group_by_input_shapes
        self._emit_nvtx = emit_nvtx
        self._export_to_chrome = export_to_chrome
        self._row_limit = row_limit
        self._sort_by_key = sort_by_key or ("cuda_time_total" if on_device else "cpu_time_total")
        self._record_module_names = record_module_names
        self._table_options = table_kwargs or {}
        self._check()
        self.profiler: profile | None = None
        self._kind = ""
        self._recording: ExitStack | None = None
        self._records: dict[str, list[record_function]] = {}
        self._clear()

    def _check(self) -> None:
        if self._sort_by_key not in SORT_KEYS:
            accepted = ", ".join(map(repr, sorted(SORT_KEYS)))
            close = nearest(self._sort_by_key, SORT_KEYS)
            raise MisconfigurationException(bad_value("sort_by_key", self._sort_by_key, accepted) + close)
        if self._schedule is not None and (
            not callable(self._schedule) or not isinstance(self._schedule(0), ProfilerAction)
        ):
            accepted = "a function of the step that returns a torch.profiler.ProfilerAction"
            fix = "write schedule=torch.profiler.schedule(wait=1, warmup=1, active=3)"
            raise MisconfigurationException(bad_value("schedule", self._schedule, accepted, fix))
        if self._emit_nvtx and not torch.cuda.is_available():
            raise MisconfigurationException(bad_value("emit_nvtx", True, "False without CUDA", "leave it out"))
        known = inspect.signature(profile).parameters
        for name in self._options.keys() - known:
            raise TypeError(f"PyTorchProfiler() has no argument {name!r}.{nearest(name, known)}")
        columns = inspect.signature(EventList.table).parameters.keys() - {"self", "sort_by", "row_limit"}
        for name in self._table_options.keys() - columns:
            raise KeyError(bad_value("table_kwargs", name, ", ".join(map(repr, sorted(columns)))))

    def _clear(self) -> None:
        self._counts: dict[str, int] = {}
        self._events: dict[str, EventList] = {}

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        if self.stage is not None:  # what an earlier stage recorded is in its report
            self._clear()
        super().setup(stage, local_rank, log_dir)

    def teardown(self, stage: str | None) -> None:
        self._end()

    def start(self, action_name: str) -> None:
        kind = self._kind_now()
        if kind != self._kind:
            self._end()
        if self._recording is None and self._begins(kind, action_name):
            self._begin(kind)
        if self._recording is not None:
            record = record_function(f"[pl][profile]{action_name}")
            self._records.setdefault(action_name, []).append(record)
            record.__enter__()  # type: ignore[no-untyped-call]

    def stop(self, action_name: str) -> None:
        if records := self._records.get(action_name):
            records.pop().__exit__(None, None, None)
        if self.profiler is not None and self._ends_step(action_name):
            self._counts[self._kind] += 1
            recording, self._recording = self._recording, None  # after an error in `step` there is nothing to stop
            self.profiler.step()
            self._recording = recording
            if self._is_over(self._kind):
                self._end()

    def _kind_now(self) -> str:
        """The running stage of the Trainer; empty for code of one's own."""
        return "" if self.lightning_module is None else str(self.lightning_module.trainer.state.stage or "")

    def _begins(self, kind: str, action_name: str) -> bool:
        if self.lightning_module is None:
            return not self._is_over(kind)
        if kind not in STEPS or self._is_over(kind):
            return False
        everything = not self._by_default and self._schedule is None
        return everything or kind in self._counts or action_name.endswith(LOOPS)  # how many steps come is known there

    def _is_over(self, kind: str) -> bool:
        return self._by_default and kind in self._events

    def _ends_step(self, action_name: str) -> bool:
        if self.lightning_module is not None and self._kind == "train":
            return action_name == "run_training_batch"  # with backward and optimizer
        return action_name.endswith(tuple(STEPS.values()))

    def _begin(self, kind: str) -> None:
        self._kind, self._recording = kind, ExitStack()
        if self._emit_nvtx:
            self._recording.enter_context(torch.cuda.profiler.profile())
            self._recording.enter_context(emit_nvtx_ranges())  # type: ignore[no-untyped-call]
        else:
            done = self._counts.setdefault(kind, 0)
            plan = self._plan(kind)
            counted = None if plan is None else lambda step: plan(done + step)
            self.profiler = _Recorder(schedule=counted, on_trace_ready=self._save, **self._options)
            self._recording.enter_context(self.profiler)
        if self._record_module_names and self.lightning_module is not None:
            self._recording.enter_context(RegisterRecordFunction(self.lightning_module))

    def _plan(self, kind: str) -> Schedule | None:
        """The schedule of a kind of step."""
        if not self._by_default:
            return self._schedule
        steps = self._steps_of(kind)
        if steps >= WAIT + WARMUP + ACTIVE:
            return schedule(wait=WAIT, warmup=WARMUP, active=ACTIVE)
        return lambda step: (
            ProfilerAction.RECORD if step < steps - 1 else ProfilerAction.RECORD_AND_SAVE if step < steps else NOTHING
        )

    def _steps_of(self, kind: str) -> float:
        """How many steps a loop over the loaders of a kind has."""
        if self.lightning_module is None:
            return float("inf")
        trainer = self.lightning_module.trainer
        if kind == "train":
            limit = float("inf") if trainer.max_steps == -1 else trainer.max_steps * trainer.accumulate_grad_batches
            return min(trainer.num_training_batches, limit)
        counts = {"validate": trainer.num_val_batches, "test": trainer.num_test_batches}
        return sum(counts.get(kind, trainer.num_predict_batches))

    def _end(self) -> None:
        """Stop recording; a trace that is under way is complete with what it holds."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.close()
        self.profiler, self._kind = None, ""
        self._records.clear()

    def _save(self, trace: _Recorder) -> None:
        """Keep the events of a trace for the report, and write it; unless the stage ended before its first step did."""
        if trace.step_num == trace.first_step and (self._by_default or self._schedule is not None):
            return
        self._events[self._kind] = trace.events()  # type: ignore[no-untyped-call]
        if self._on_trace_ready is not None:
            self._on_trace_ready(trace)
            return
        name = self.path("", STEPS.get(self._kind, "trace"))
        if self._export_to_chrome:
            tensorboard_trace_handler(os.path.dirname(name) or ".", os.path.basename(name))(trace)
        if self._flame_graph:
            trace.export_stacks(f"{name}.stack", metric=self._metric)

    def summary(self) -> str:
        self._end()
        if not self._events:
            return ""
        parts = [f"{(self.stage or '').upper()} Profiler Report".strip()]
        for kind, events in self._events.items():
            averages = events.key_averages(group_by_input_shapes=self._group_by_input_shapes)  # type: ignore[no-untyped-call]
            sort_by = self._sort_by_key.replace("cuda", "device")
            table = averages.table(sort_by=sort_by, row_limit=self._row_limit, **self._table_options)
            parts.append(f"Profile stats for: {STEPS.get(kind, 'records')}\n{table}")
        return "\n\n".join(parts)


class _Recorder(profile):
    """Torch's profiler without its messages; it knows the first step of a trace."""

    first_step = 0

    def start_trace(self) -> None:
        self.first_step = self.step_num
        super().start_trace()

    def prepare_trace(self) -> None:
        if not self.acc_events:
            self.profiler = None  # torch replaces the last cycle's, with a warning
        with _without_log_lines():
            super().prepare_trace()


@contextmanager
def _without_log_lines() -> Iterator[None]:
    """Kineto writes lines to stderr at each start and stop of a trace, unless this says otherwise at its first use."""
    given = "KINETO_LOG_LEVEL" in os.environ
    if not given:
        os.environ["KINETO_LOG_LEVEL"] = "99"
    try:
        yield
    finally:
        if not given:
            os.environ.pop("KINETO_LOG_LEVEL", None)
