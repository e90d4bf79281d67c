"""Fabric on one process: what a loop of one's own needs."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

import leyden as pl
from leyden.errors import LightningDeprecationWarning, PossibleUserWarning
from leyden.fabric.wrappers import FabricModule
from leyden.runtime.accelerators import CPUAccelerator
from leyden.runtime.environments import LightningEnvironment
from leyden.runtime.precision import MixedPrecision
from leyden.runtime.strategies.ddp import DDPStrategy
from leyden.runtime.strategies.single import SingleDeviceStrategy

X = torch.ones(3, 2)


def fabric(**arguments) -> pl.Fabric:
    return pl.Fabric(accelerator="cpu", devices=1, **arguments)


def parts() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


# -- this process -------------------------------------------------------------------------------------------------------


def test_the_arguments_and_their_defaults():
    parameters = inspect.signature(pl.Fabric).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "accelerator": "auto", "strategy": "auto", "devices": "auto", "num_nodes": 1, "precision": None,
        "plugins": None, "callbacks": None, "loggers": None,
    }  # fmt: skip
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


SIGNATURES = {
    "launch": "function=None, *args, **kwargs",
    "setup": "module, *optimizers, scheduler=None, move_to_device=True, _reapply_compile=True",
    "setup_module": "module, move_to_device=True, _reapply_compile=True",
    "setup_optimizers": "*optimizers",
    "setup_dataloaders": "*dataloaders, use_distributed_sampler=True, move_to_device=True",
    "backward": "tensor, *args, model=None, **kwargs",
    "clip_gradients": "module, optimizer, clip_val=None, max_norm=None, norm_type=2.0, error_if_nonfinite=True",
    "no_backward_sync": "module, enabled=True",
    "all_gather": "data, group=None, sync_grads=False",
    "all_reduce": "data, group=None, reduce_op='mean'",
    "broadcast": "obj, src=0",
    "barrier": "name=None",
    "rank_zero_first": "local=False",
    "save": "path, state, filter=None",
    "load": "path, state=None, strict=True, *, weights_only=None",
    "load_raw": "path, obj, strict=True, *, weights_only=None",
    "init_module": "empty_init=None",
    "call": "hook_name, *args, **kwargs",
    "log": "name, value, step=None",
    "log_dict": "metrics, step=None",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_signatures_of_the_methods(name):
    signature = inspect.signature(getattr(pl.Fabric, name))
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in list(signature.parameters.values())[1:]]
    shown = str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    assert shown == f"({SIGNATURES[name]})"


def test_what_it_says_about_this_process():
    one = fabric(loggers=[logger := Rows()])
    assert isinstance(one.accelerator, CPUAccelerator)
    assert isinstance(one.strategy, SingleDeviceStrategy)
    assert one.device == torch.device("cpu")
    assert (one.global_rank, one.local_rank, one.node_rank, one.world_size, one.is_global_zero) == (0, 0, 0, 1, True)
    assert (one.logger, one.loggers) == (logger, [logger])
    assert (fabric().logger, fabric().loggers) == (None, [])


def test_plugins_and_strategies_as_for_the_trainer():
    one = fabric(plugins=[LightningEnvironment(), MixedPrecision("bf16-mixed", "cpu")], strategy=SingleDeviceStrategy())
    with one.autocast():
        assert torch.is_autocast_enabled("cpu")
    for name in ("ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false"):
        assert isinstance(fabric(strategy=name).strategy, DDPStrategy)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"accelerator": "cpp"}, "`accelerator` got 'cpp'.*Did you mean 'cpu'"),
        ({"strategy": "dpp"}, "`strategy` got 'dpp'"),
        ({"precision": "33"}, "`precision` got '33'"),
        ({"num_nodes": 0}, "`num_nodes` got 0"),
        ({"loggers": "csv"}, "`loggers` got 'csv'"),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises((ValueError, TypeError), match=error):
        pl.Fabric(**{"accelerator": "cpu", "devices": 1, **arguments})


def test_the_command_line_gives_arguments(monkeypatch):
    monkeypatch.setenv("LT_PRECISION", "64-true")
    monkeypatch.setenv("LT_NUM_NODES", "1")
    assert fabric().autocast() is not None
    assert next(fabric().setup(nn.Linear(1, 1)).parameters()).dtype is torch.float32
    monkeypatch.setenv("LT_CLI_USED", "1")
    assert next(fabric().setup(nn.Linear(1, 1)).parameters()).dtype is torch.float64
    with pytest.raises(ValueError, match="`precision` got 'bf16-mixed'.*'64-true', which the command line gives"):
        fabric(precision="bf16-mixed")


def test_launch_calls_a_function_with_the_fabric():
    one = fabric()
    assert one.launch() is None
    assert one.launch(lambda runner, a, b: (runner is one, a, b), 5, b=7) == (True, 5, 7)
    for wrong in (3, lambda: 1):
        with pytest.raises(TypeError):
            one.launch(wrong)


def test_run_can_be_overridden_with_a_program():
    class Program(pl.Fabric):
        def run(self, factor):
            return factor * self.world_size

    assert Program(accelerator="cpu", devices=1).run(3) == 3
    assert fabric().run(3) is None


def test_print_and_seed(capsys, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    monkeypatch.setenv("PL_SEED_WORKERS", "0")
    fabric().print("here", end="!")
    assert capsys.readouterr().out == "here!"
    assert pl.Fabric.seed_everything(7, workers=None, verbose=False) == 7
    first = torch.rand(2)
    pl.Fabric.seed_everything(7, workers=True, verbose=False)
    assert torch.equal(torch.rand(2), first)


# -- setting up ---------------------------------------------------------------------------------------------------------


def test_setup_returns_what_it_was_given():
    model, optimizer = parts()
    assert isinstance(fabric().setup(model), FabricModule)
    assert isinstance(fabric().setup_module(model), FabricModule)
    wrapped, stepping = fabric().setup(model, optimizer)
    assert wrapped.module is model
    assert stepping.optimizer is optimizer
    assert len(fabric().setup(model, optimizer, torch.optim.Adam(model.parameters()))) == 3
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    assert fabric().setup(model, optimizer, scheduler=scheduler)[2] is scheduler
    one = fabric().setup_optimizers(optimizer)
    assert one.optimizer is optimizer
    assert len(fabric().setup_optimizers(optimizer, torch.optim.Adam(model.parameters()))) == 2
    assert len(fabric().setup_dataloaders([1], [2])) == 2


def test_setting_up_twice_is_an_error():
    model, optimizer = fabric().setup(*parts())
    loader = fabric().setup_dataloaders([1])
    own, _ = parts()
    for method, objects in (
        ("setup", [model]),
        ("setup", [own, optimizer]),
        ("setup_module", [model]),
        ("setup_optimizers", [optimizer]),
        ("setup_dataloaders", [loader]),
    ):
        with pytest.raises(ValueError, match="that was set up before"):
            getattr(fabric(), method)(*objects)


def test_nothing_or_something_else_to_set_up():
    for method in ("setup_optimizers", "setup_dataloaders"):
        with pytest.raises(ValueError, match=f"`Fabric.{method}` got nothing to set up"):
            getattr(fabric(), method)()
    model, _ = parts()
    with pytest.raises(TypeError, match=r"`Fabric.setup\(\)` got 3 \(int\). Accepted: Module instances"):
        fabric().setup(3)
    with pytest.raises(TypeError, match="Optimizer instances"):
        fabric().setup(model, model)
    with pytest.raises(TypeError, match="`dataloaders` got.*DataLoader"):
        fabric().setup_dataloaders(torch.utils.data.TensorDataset(X))


def test_a_module_on_several_devices_is_moved_with_a_warning_or_left():
    mixed = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1, device="meta"))
    with pytest.warns(PossibleUserWarning, match="lies on several devices"), pytest.raises(NotImplementedError):
        fabric().setup(mixed)  # a real device would take it; weights on "meta" cannot be moved
    model = fabric().setup(mixed, move_to_device=False)
    assert model.module[1].weight.is_meta


def test_to_device():
    one, batch = fabric(), {"x": X, "names": ["a"]}
    assert one.to_device(batch) is batch
    assert one.to_device(X) is X
    model, _ = parts()
    assert one.to_device(model) is model


def test_modules_and_tensors_are_made_in_the_number_format():
    one = fabric(precision="64-true")
    with one.init_tensor():
        assert torch.ones(1).dtype is torch.float64
    with one.init_module():
        assert nn.Linear(1, 1).weight.dtype is torch.float64
    assert torch.ones(1).dtype is torch.float32


def test_modules_can_be_made_without_initial_weights():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with fabric().init_module(empty_init=True):
        model = nn.Sequential(nn.Linear(2, 1), nn.Embedding(3, 2), nn.LayerNorm(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert [tuple(p.shape) for p in model.parameters()] == [(1, 2), (1,), (3, 2), (2,), (2,)]
    with fabric().init_module():
        nn.Linear(2, 1)
    assert not torch.equal(torch.get_rng_state(), state)


def test_sharded_model_is_old():
    with pytest.warns(LightningDeprecationWarning, match=r"Write `Fabric.init_module\(\)`"), fabric().sharded_model():
        pass


# -- training -----------------------------------------------------------------------------------------------------------


def test_backward_takes_the_arguments_of_tensors():
    model, _ = fabric().setup(*parts())
    fabric().backward(model(X), torch.ones(3, 1), model=model, retain_graph=True)
    assert model.weight.grad.tolist() == [[3.0, 3.0]]


def test_clip_gradients():
    one = fabric()
    model, optimizer = one.setup(*parts())
    one.backward(model(X).sum())
    assert one.clip_gradients(model, optimizer, max_norm=1.0).item() == pytest.approx(27**0.5)
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert norm.item() == pytest.approx(1.0)
    assert one.clip_gradients(model, optimizer, max_norm=9.0, norm_type="inf").item() < 1.0
    assert one.clip_gradients(model, optimizer, clip_val=0.1) is None
    assert model.weight.grad.abs().max().item() == pytest.approx(0.1)
    for wrong in ({}, {"clip_val": 1.0, "max_norm": 1.0}):
        with pytest.raises(ValueError, match="exactly one of the two"):
            one.clip_gradients(model, optimizer, **wrong)
    model.weight.grad.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="non-finite"):
        one.clip_gradients(model, optimizer, max_norm=1.0)
    assert one.clip_gradients(model, optimizer, max_norm=1.0, error_if_nonfinite=False).isnan()


def test_a_scaler_scales_unscales_and_steps():
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=1)
    one = fabric(plugins=MixedPrecision("16-mixed", "cpu", scaler=scaler))
    model, optimizer = one.setup(*parts())
    before = model.weight.detach().clone()
    one.backward(model(X).sum())
    assert model.weight.grad.tolist() == [[192.0, 192.0]]
    assert one.clip_gradients(model, optimizer, max_norm=100.0).item() == pytest.approx(27**0.5)
    assert model.weight.grad.tolist() == [[3.0, 3.0]]
    optimizer.step()
    assert torch.allclose(model.weight, before - 0.3)
    optimizer.zero_grad()
    one.backward(model(X).sum() * float("inf"))
    assert scaler.get_scale() == 128.0  # adapted when the next gradients are computed
    before = model.weight.detach().clone()
    optimizer.step()
    assert torch.equal(model.weight, before)
    one.backward(model(X).sum())
    assert scaler.get_scale() == 64.0


def test_two_optimizers_step_with_gradients_of_one_scale():
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=1)
    one = fabric(plugins=MixedPrecision("16-mixed", "cpu", scaler=scaler))
    (first, first_optimizer), (second, second_optimizer) = one.setup(*parts()), one.setup(*parts())
    before = first.weight.detach().clone(), second.weight.detach().clone()
    one.backward(first(X).sum() + second(X).sum())
    first_optimizer.step()
    second_optimizer.step()
    assert torch.allclose(first.weight, before[0] - 0.3)
    assert torch.allclose(second.weight, before[1] - 0.3)


def test_a_closure_computes_the_scaled_gradients():
    one = fabric(plugins=MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=64.0)))
    model, optimizer = one.setup(*parts())
    before = model.weight.detach().clone()

    def closure():
        loss = model(X).sum()
        one.backward(loss)
        return loss

    assert optimizer.step(closure).shape == ()
    assert torch.allclose(model.weight, before - 0.3)


def test_autocast():
    with fabric().autocast():
        assert not torch.is_autocast_enabled("cpu")
    with fabric(precision="bf16-mixed").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16


def test_no_backward_sync_wants_a_module_that_was_set_up():
    one, (model, _) = fabric(), parts()
    wrapped = one.setup(model)
    for enabled in (True, False):
        with one.no_backward_sync(wrapped, enabled=enabled):
            one.backward(wrapped(X).sum())
        with pytest.raises(TypeError, match="`module` got Linear.*Fix: module = fabric.setup"):
            one.no_backward_sync(model, enabled=enabled)
    assert model.weight.grad.tolist() == [[6.0, 6.0]]


def test_collectives_on_one_process():
    one = fabric()
    data = {"x": X, "n": 3, "name": "a"}
    assert one.all_gather(data)["x"] is X
    assert one.all_gather(data)["n"].item() == 3
    assert one.all_reduce(data)["name"] == "a"
    assert one.all_reduce(2.5, reduce_op="sum").item() == 2.5
    assert one.broadcast("text") == "text"
    one.barrier()
    with one.rank_zero_first(), one.rank_zero_first(local=True):
        pass


# -- callbacks and loggers ----------------------------------------------------------------------------------------------


class Rows:
    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((metrics, step))


class Recorder:
    not_a_method = 3

    def __init__(self):
        self.calls = []

    def on_start(self, x, y=1):
        self.calls.append((x, y))

    def on_any(self, **arguments):
        self.calls.append(arguments)


def test_call_reaches_every_callback_that_has_the_method():
    class Other:
        def __init__(self):
            self.calls = []

        def on_start(self, x):
            self.calls.append(x)

    recorder, other = Recorder(), Other()
    one = fabric(callbacks=[recorder, other])
    one.call("on_start", x=1, y=2, z=3)
    one.call("on_start", 5)
    one.call("on_any", a=1)
    one.call("on_nothing", 1)
    assert recorder.calls == [(1, 2), (5, 1), {"a": 1}]
    assert other.calls == [1, 5]
    with pytest.warns(UserWarning, match="Recorder.not_a_method` is not called"):
        one.call("not_a_method")
    single = Recorder()
    fabric(callbacks=single).call("on_start", 1)
    assert single.calls == [(1, 1)]


def test_log_goes_to_every_logger():
    loggers = Rows(), Rows()
    one = fabric(loggers=loggers)
    one.log("loss", torch.tensor(0.5, requires_grad=True), step=3)
    one.log_dict({"a": 1, "b": torch.ones(1)})
    for logger in loggers:
        assert logger.rows == [({"loss": 0.5}, 3), ({"a": 1, "b": 1.0}, None)]
    with pytest.raises(RuntimeError):
        one.log("vector", torch.ones(2))
    fabric().log("nobody", 1.0)
