"""How fast a program works: batches, samples, items and floating-point operations per second over the last batches.

Plain classes and functions, for a Trainer's callback, for Fabric and for loops of one's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from leyden.errors import bad_value
from leyden.utils.rank import rank_zero_warn

Values = dict[str, int | float]


@dataclass(frozen=True)
class _Reading:
    """What had been reached at one moment."""

    time: float
    batches: int
    samples: int
    lengths: int | None
    flops: int | None


class Throughput:
    """Turns running totals into rates over a sliding window.

    Args:
        available_flops: The device's theoretical peak, in floating-point operations per second; gives ``device/mfu``.
        world_size: Number of processes, each with a device; more than one adds the rates of all together, taken to be
            as fast as this one.
        window_size: How many updates the rates are taken over, at least 2; before, there are totals only.
        separator: Between the parts of a name.

    Raises:
        ValueError: A number is too small.

    Example:
        >>> throughput = Throughput(window_size=2)
        >>> throughput.update(time=1.0, batches=1, samples=32)
        >>> throughput.update(time=3.0, batches=2, samples=64)
        >>> throughput.compute()["device/samples_per_sec"]
        16.0
    """

    def __init__(
        self, available_flops: float | None = None, world_size: int = 1, window_size: int = 100, separator: str = "/"
    ) -> None:
        if available_flops is not None and not available_flops > 0:
            raise ValueError(bad_value("available_flops", available_flops, "a number > 0, None"))
        if not isinstance(world_size, int) or world_size < 1:
            raise ValueError(bad_value("world_size", world_size, "an int >= 1"))
        if not isinstance(window_size, int) or window_size < 2:
            raise ValueError(bad_value("window_size", window_size, "an int >= 2: a rate needs two moments"))
        self.available_flops = available_flops
        self.world_size = world_size
        self.separator = separator
        self._window: deque[_Reading] = deque(maxlen=window_size)

    def update(
        self, *, time: float, batches: int, samples: int, lengths: int | None = None, flops: int | None = None
    ) -> None:
        """Take in where the program is.

        Args:
            time: Seconds since it began.
            batches: Batches so far.
            samples: Samples so far.
            lengths: Items so far, such as tokens; given always or never.
            flops: Floating-point operations of this device since the last update.

        Raises:
            ValueError: A total went back or stands still, or there are more batches than samples or samples than items.
        """
        reading = _Reading(time, batches, samples, lengths, flops)
        if self._window:
            for name in ("time", "batches", "samples", "lengths"):
                before, now = getattr(self._window[-1], name), getattr(reading, name)
                if before is not None and now is not None and now <= before:
                    raise ValueError(bad_value(name, now, f"a total that grows; it was {before}"))
        if samples < batches:
            raise ValueError(bad_value("samples", samples, f"at least as many as batches ({batches})"))
        if lengths is not None and lengths < samples:
            raise ValueError(bad_value("lengths", lengths, f"at least as many as samples ({samples})"))
        self._window.append(reading)

    def compute(self) -> Values:
        """Return the totals and, once the window is full, the rates; nothing before the first update."""
        if not self._window:
            return {}
        first, last = self._window[0], self._window[-1]
        values: Values = {"time": last.time, "batches": last.batches, "samples": last.samples}
        if last.lengths is not None:
            values["lengths"] = last.lengths
        if len(self._window) == self._window.maxlen:
            seconds = last.time - first.time
            for name, total in (("batches", "batches"), ("samples", "samples"), ("items", "lengths")):
                before, now = getattr(first, total), getattr(last, total)
                if before is not None and now is not None:
                    values |= self._rate(name, (now - before) / seconds)
            flops = [reading.flops for reading in list(self._window)[1:]]
            if None not in flops:
                rate = sum(count for count in flops if count is not None) / seconds
                values |= self._rate("flops", rate)
                if self.available_flops is not None:
                    values["device/mfu"] = rate / self.available_flops
        return {name.replace("/", self.separator): value for name, value in values.items()}

    def reset(self) -> None:
        """Forget everything."""
        self._window.clear()

    def _rate(self, name: str, value: float) -> Values:
        own = {f"device/{name}_per_sec": value}
        return own if self.world_size == 1 else own | {f"{name}_per_sec": value * self.world_size}


class FabricThroughputMonitor(Throughput):
    """A :class:`Throughput` that logs through a Fabric, whose device and number of processes it takes.

    Args:
        fabric: Its ``device``, ``world_size`` and ``log_dict`` are used.
        **arguments: As for :class:`Throughput`.
    """

    def __init__(self, fabric: Any, **arguments: Any) -> None:
        if "available_flops" not in arguments:
            arguments["available_flops"] = get_available_flops(fabric.device, torch.get_default_dtype())
        super().__init__(**{"world_size": fabric.world_size, **arguments})
        self._fabric = fabric
        self.step = -1

    def compute_and_log(self, step: int | None = None, **arguments: Any) -> Values:
        """Compute, log and return the values.

        Args:
            step: The x-axis; default: the number of earlier calls.
            **arguments: For :meth:`Throughput.compute`.
        """
        self.step = self.step + 1 if step is None else step
        values = self.compute(**arguments)
        self._fabric.log_dict(metrics=values, step=self.step)
        return values


def measure_flops(
    model: nn.Module, forward_fn: Callable[[], Tensor], loss_fn: Callable[[Tensor], Tensor] | None = None
) -> int:
    """Count the floating-point operations of a forward pass and, with a loss, of its backward pass.

    On the ``meta`` device nothing is computed and no memory taken.

    Args:
        model: The module; its gradients are left as they are on the meta device only.
        forward_fn: Runs the forward pass, for instance ``lambda: model(x)``.
        loss_fn: Makes a scalar of its result; None: forward only.

    Returns:
        The operations that ``torch.utils.flop_counter`` counts: matrix products, convolutions, attention.

    Example:
        >>> with torch.device("meta"):
        ...     model, x = nn.Linear(32, 2), torch.randn(4, 32)
        >>> measure_flops(model, lambda: model(x)), measure_flops(model, lambda: model(x), torch.sum)
        (512, 1024)
    """
    counter = FlopCounterMode(display=False)
    with counter:
        if loss_fn is None:
            forward_fn()
        else:
            loss_fn(forward_fn()).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return int(counter.get_total_flops())


_T = 1e12
_TF32 = "tf32"
PEAKS: dict[str, dict[torch.dtype | str, float]] = {
    "b200": {torch.float64: 37, torch.float32: 75, _TF32: 1125, torch.float16: 2250, torch.int8: 4500},
    "h200": {torch.float64: 34, torch.float32: 67, _TF32: 494.7, torch.float16: 989.4, torch.int8: 1979},
    "h100 pcie": {torch.float64: 25.6, torch.float32: 51.2, _TF32: 378, torch.float16: 756, torch.int8: 1513},
    "h100 nvl": {torch.float64: 30, torch.float32: 60, _TF32: 417.5, torch.float16: 835.5, torch.int8: 1671},
    "h100": {torch.float64: 34, torch.float32: 67, _TF32: 494.7, torch.float16: 989.4, torch.int8: 1979},
    "l40s": {torch.float32: 91.6, _TF32: 183, torch.float16: 362, torch.int8: 733},
    "l40": {torch.float32: 90.5, _TF32: 90.5, torch.float16: 181, torch.int8: 362},
    "l4": {torch.float32: 30.3, _TF32: 60, torch.float16: 121, torch.int8: 242},
    "a100": {torch.float64: 9.7, torch.float32: 19.5, _TF32: 156, torch.float16: 312, torch.int8: 624},
    "a6000": {torch.float32: 38.7, _TF32: 77.4, torch.float16: 154.8, torch.int8: 309.7},
    "a40": {torch.float32: 37.4, _TF32: 74.8, torch.float16: 149.7, torch.int8: 299.3},
    "a10": {torch.float32: 31.2, _TF32: 62.5, torch.float16: 125, torch.int8: 250},
    "rtx 4090": {torch.float32: 82.6, _TF32: 82.6, torch.float16: 165.2, torch.int8: 660.6},
    "rtx 3090": {torch.float32: 35.6, _TF32: 35.6, torch.float16: 71, torch.int8: 284},
    "v100": {torch.float64: 7.8, torch.float32: 15.7, torch.float16: 125},
    "t4": {torch.float32: 8.1, torch.float16: 65, torch.int8: 130},
}
"""Dense peak of GPUs in 1e12 operations per second, from their data sheets; bfloat16 equals float16 where it exists."""

WITHOUT_BFLOAT16 = ("v100", "t4")


def get_available_flops(device: torch.device, dtype: torch.dtype | str) -> float | None:
    """Return a device's theoretical peak in operations per second, without sparsity; None if it is not known.

    Args:
        device: The device.
        dtype: The number format of the matrix products; float32 products that may use TF32 (torch's
            ``get_float32_matmul_precision``) count as such.

    Example:
        >>> get_available_flops(torch.device("cpu"), torch.float32) is None
        True
    """
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    words = name.lower().replace("-", " ").split()
    chip = next((chip for chip in PEAKS if all(_names(word, words) for word in chip.split())), None)
    kind: torch.dtype | str = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    if kind is torch.bfloat16 and chip not in WITHOUT_BFLOAT16:
        kind = torch.float16
    if (
        kind is torch.float32
        and torch.get_float32_matmul_precision() != "highest"
        and _TF32 in PEAKS.get(chip or "", {})
    ):
        kind = _TF32
    if chip is None or kind not in PEAKS[chip]:
        rank_zero_warn(f"The peak of {name!r} in {dtype} is not known, so there is no model FLOP utilization (mfu).")
        return None
    return PEAKS[chip][kind] * _T


def _names(part: str, words: list[str]) -> bool:
    """Whether a part of a chip's name is among a device's: ``a10`` names an A10G, and no A100."""
    return any(word == part or (word.startswith(part) and word[len(part) :].isalpha()) for word in words)
