"""The hooks of 0.x and 1.x that are gone: where each is called today, and the line to write instead.

Names and values only; :mod:`leyden.callbacks.removed_hooks` makes the calls. ``owners`` are letters as in the table of
today's hooks: ``c`` callbacks, ``m`` module, ``d`` data module.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ATTRIBUTES",
    "CALLED",
    "INSTEAD",
    "MISSING",
    "ORDER",
    "PARAMETERS",
    "REFUSED",
    "TODAY",
    "OldHook",
    "line_for",
]


@dataclass(frozen=True)
class OldHook:
    """A hook that is gone, and is called all the same.

    Attributes:
        name: Its name.
        owners: Who may define it.
        today: The hooks beside which it is called.
        line: What to write instead.
        after: It is called when all others of that hook have run; else before the first of them.
        outputs: It gets what the epoch's steps returned; else as much as it takes of what today's hook gets.
    """

    name: str
    owners: str
    today: tuple[str, ...]
    line: str
    after: bool = False
    outputs: bool = False


def _per_stage(hook: str) -> tuple[str, ...]:
    return tuple(f"on_{stage}_{hook}" for stage in ("train", "validation", "test"))


def _per_stage_done() -> tuple[str, ...]:
    stages = ("fit", "validate", "test", "predict")
    return tuple(f"has_{when}_{stage}" for when in ("setup", "teardown") for stage in stages)


def _store(step: str, hook: str) -> str:
    return f"append to a list of your own in `{step}`, and read and clear it in `def {hook}(self)`"


def _epoch_ends() -> tuple[OldHook, ...]:
    rows = []
    for stage, step, names in (
        ("train", "training", ("training_epoch_end",)),
        ("validation", "validation", ("validation_epoch_end", "validation_end")),
        ("test", "test", ("test_epoch_end", "test_end")),
        ("predict", "predict", ("predict_epoch_end",)),
    ):
        hook = f"on_{stage}_epoch_end"
        rows += [OldHook(name, "m", (hook,), _store(f"{step}_step", hook), outputs=True) for name in names]
    return tuple(rows)


CALLED: tuple[OldHook, ...] = (
    *_epoch_ends(),
    OldHook(
        "on_epoch_start",
        "cm",
        _per_stage("epoch_start"),
        "`on_train_epoch_start`, `on_validation_epoch_start`, `on_test_epoch_start`: those that you need",
    ),
    OldHook(
        "on_epoch_end",
        "cm",
        _per_stage("epoch_end"),
        "`on_train_epoch_end`, `on_validation_epoch_end`, `on_test_epoch_end`: those that you need",
        after=True,
    ),
    OldHook("on_batch_start", "cm", ("on_train_batch_start",), "`def on_train_batch_start(..., batch, batch_idx)`"),
    OldHook(
        "on_batch_end", "cm", ("on_train_batch_end",), "`def on_train_batch_end(..., outputs, batch, batch_idx)`", True
    ),
    OldHook("on_pretrain_routine_start", "cm", ("on_fit_start",), "`on_fit_start`", after=True),
    OldHook("on_pretrain_routine_end", "cm", ("on_fit_start",), "`on_fit_start`", after=True),
    OldHook("on_before_accelerator_backend_setup", "cm", ("setup",), "`def setup(..., stage)`"),
    OldHook("on_configure_sharded_model", "c", ("setup",), "`def setup(self, trainer, pl_module, stage)`", after=True),
    OldHook("on_keyboard_interrupt", "c", ("on_exception",), "`def on_exception(self, trainer, pl_module, exception)`"),
)
"""In the order in which they are called, those of one place."""

INSTEAD: dict[str, tuple[str, str]] = {
    "tng_step": ("m", "training_step"),
    "tng_dataloader": ("md", "train_dataloader"),
    "configure_sharded_model": ("m", "configure_model"),
    "on_post_move_to_device": ("m", "configure_optimizers"),
    "on_hpc_save": ("m", "on_save_checkpoint"),
    "on_hpc_load": ("m", "on_load_checkpoint"),
    "on_train_dataloader": ("md", "train_dataloader"),
    "on_val_dataloader": ("md", "val_dataloader"),
    "on_test_dataloader": ("md", "test_dataloader"),
    "on_predict_dataloader": ("md", "predict_dataloader"),
    "training_step_end": ("m", "training_step"),
    "validation_step_end": ("m", "validation_step"),
    "test_step_end": ("m", "test_step"),
    "training_end": ("m", "training_step"),
}
"""Old methods that run together with one of today's, or in its place: who may define them, and which."""

LINES: dict[str, str] = {
    "configure_sharded_model": "`def configure_model(self)`",
    "on_post_move_to_device": "`def configure_model(self)`",
    **{
        f"{step}_step_end": f"at the end of `{step}_step`, or `def on_{step}_batch_end`"
        for step in ("validation", "test")
    },
    **dict.fromkeys(
        ("training_step_end", "training_end"), "at the end of `training_step`, or `def on_train_batch_end`"
    ),
}
"""What to write instead, where it is not the same method under today's name."""

PARAMETERS: dict[str, tuple[str, ...]] = {
    "optimizer_step": ("optimizer_idx", "on_tpu", "using_native_amp", "using_lbfgs", "second_order_closure"),
    "optimizer_zero_grad": ("optimizer_idx",),
    "lr_scheduler_step": ("optimizer_idx",),
    "configure_gradient_clipping": ("optimizer_idx",),
    "on_before_optimizer_step": ("optimizer_idx",),
    "backward": ("optimizer_idx", "optimizer", "trainer", "use_amp"),
    "on_train_batch_start": ("dataloader_idx",),
    "on_train_batch_end": ("dataloader_idx",),
    "on_train_epoch_end": ("outputs",),
    "on_validation_epoch_end": ("outputs",),
    "on_test_epoch_end": ("outputs",),
    "on_predict_epoch_end": ("outputs", "results"),
}
"""Parameters that today's hooks do not have any more, by hook."""

ORDER: dict[str, tuple[str, ...]] = {
    "optimizer_step": ("", "", "", "optimizer_idx", "", "on_tpu", "using_native_amp", "using_lbfgs"),
    "optimizer_zero_grad": ("", "", "", "optimizer_idx"),
    "lr_scheduler_step": ("", "optimizer_idx", ""),
    "configure_gradient_clipping": ("", "optimizer_idx", "", ""),
    "on_before_optimizer_step": ("", "optimizer_idx"),
    "on_train_batch_start": ("", "", "dataloader_idx"),
    "on_train_batch_end": ("", "", "", "dataloader_idx"),
    **{f"on_{stage}_epoch_end": ("outputs",) for stage in ("train", "validation", "test", "predict")},
}
"""The places of old parameters, for methods that call them otherwise; an empty name: one that is still there."""

TODAY: dict[str, str] = {
    "optimizer_step": "epoch, batch_idx, optimizer, optimizer_closure",
    "optimizer_zero_grad": "epoch, batch_idx, optimizer",
    "lr_scheduler_step": "scheduler, metric",
    "configure_gradient_clipping": "optimizer, gradient_clip_val, gradient_clip_algorithm",
    "on_before_optimizer_step": "optimizer",
    "backward": "loss",
    "on_train_batch_start": "batch, batch_idx",
    "on_train_batch_end": "outputs, batch, batch_idx",
    "transfer_batch_to_device": "batch, device, dataloader_idx",
    "on_before_batch_transfer": "batch, dataloader_idx",
    "on_after_batch_transfer": "batch, dataloader_idx",
}
"""What hooks get today whose parameters were others; those that :data:`PARAMETERS` alone names get nothing."""

_MANUAL = (
    "optimize by hand: `self.automatic_optimization = False` in `__init__`, and in `def training_step(self, batch, "
    "batch_idx)`: `for opt in self.optimizers(): self.toggle_optimizer(opt); opt.zero_grad(); "
    "self.manual_backward(loss); opt.step(); self.untoggle_optimizer(opt)`, with the loss of each"
)
_TBPTT = (
    "cut the sequence by hand: `self.automatic_optimization = False` in `__init__`, and in `def training_step(self, batch, "
    "batch_idx)`: `for chunk in batch.split(steps, dim=1): ...; opt.zero_grad(); self.manual_backward(loss); opt.step()`, "
    "with the hidden state detached between chunks"
)

REFUSED: dict[str, str] = {
    "optimizer_idx": _MANUAL,
    "hiddens": _TBPTT,
    "truncated_bptt_steps": _TBPTT,
    "tbptt_split_batch": _TBPTT,
    "configure_ddp": "`Trainer(strategy=DDPStrategy(...))`",
    "init_ddp_connection": "`Trainer(plugins=[...])` with a ClusterEnvironment of your own",
    "configure_sync_batchnorm": "`Trainer(sync_batchnorm=True)`",
    "configure_apex": '`Trainer(precision="16-mixed")`',
    "amp_scale_loss": '`Trainer(precision="16-mixed")`',
    "log_grad_norm": "`self.log_dict(grad_norm(self, norm_type=2))` in `on_before_optimizer_step`",
}
"""What a module can define and nothing can be called for: its methods, and parameters of its steps."""

MISSING: dict[str, dict[str, str]] = {
    "m": {
        "write_prediction": "a callback: a sub-class of `BasePredictionWriter`",
        "write_prediction_dict": "a callback: a sub-class of `BasePredictionWriter`",
        "loaded_optimizer_states_dict": '`checkpoint["optimizer_states"]` in `on_load_checkpoint`',
        "grad_norm": "`grad_norm(self, norm_type)`",
    },
    "d": dict.fromkeys(
        (
            "train_transforms",
            "val_transforms",
            "test_transforms",
            "dims",
            "size",
            "has_prepared_data",
            *_per_stage_done(),
        ),
        "an attribute of your own, set in `__init__` or `setup`",
    ),
}
"""Attributes that the base classes had, by the letter of their owner, and what to write where a class uses them and does
not set them itself."""

ATTRIBUTES: dict[str, str] = {
    "datamodule": "self.trainer.datamodule",
    "precision": "self.trainer.precision",
    "use_amp": 'self.trainer.precision.endswith("mixed")',
    "summarize": "summarize(self, max_depth)",
    "model_size": "summarize(self).model_size",
}
"""Attributes that a module had in a run, and still finds: what to write instead."""


def line_for(name: str) -> str:
    """What to write instead of a method that runs together with one of today's."""
    return LINES.get(name) or f"`def {INSTEAD[name][1]}`"
