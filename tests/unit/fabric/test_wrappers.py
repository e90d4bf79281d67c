"""What Fabric returns behaves as the user's own module, loader and optimizer."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from leyden import Fabric, LightningModule
from leyden.fabric.wrappers import FabricModule, is_wrapped, unwrap


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.seen: tuple[object, ...] = ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x.dtype, torch.is_autocast_enabled("cpu"), self.layer.weight.dtype
        return self.layer(x)

    def score(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"score": self(x)}

    def training_step(self, x: torch.Tensor) -> torch.Tensor:
        return self(x).mean()

    def size(self) -> int:
        return 2


class CPULoader:
    """Data with a ``.to`` of its own."""

    moved = False

    def to(self, device: torch.device) -> CPULoader:
        self.moved = True
        return self


def fabric(**arguments) -> Fabric:
    return Fabric(accelerator="cpu", devices=1, **arguments)


X = torch.ones(3, 2)


def test_names_are_those_of_the_users_module():
    net = Net()
    model = fabric().setup(net)
    assert isinstance(model, FabricModule)
    assert list(model.state_dict()) == list(net.state_dict()) == ["layer.weight", "layer.bias"]
    assert [name for name, _ in model.named_parameters()] == ["layer.weight", "layer.bias"]
    assert list(model.modules()) == list(net.modules())
    assert model.load_state_dict(Net().state_dict()).missing_keys == []
    assert model.get_submodule("layer") is net.layer


def test_attributes_are_read_from_and_set_on_the_users_module():
    net = Net()
    model = fabric().setup(net)
    assert model.module is net
    assert model.layer is net.layer
    assert model.size() == 2
    model.temperature = 3
    assert net.temperature == 3
    model.layer = nn.Linear(2, 2)
    assert net.layer.out_features == 2
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'nope'"):
        model.nope  # noqa: B018
    assert model.device == torch.device("cpu")
    assert fabric().setup(nn.ReLU()).device == torch.device("cpu")


def test_modes_gradients_and_types_reach_the_users_module():
    net = Net()
    model = fabric().setup(net)
    assert not model.eval().training
    assert not net.layer.training
    model.train()
    assert net.layer.training
    model(X).sum().backward()
    assert net.layer.weight.grad is not None
    model.zero_grad()
    assert net.layer.weight.grad is None
    model.requires_grad_(False)
    assert not net.layer.weight.requires_grad
    model.double()
    assert net.layer.weight.dtype is torch.float64
    assert model.device.type == "cpu"


def test_a_copy_and_a_pickle_are_modules_of_their_own():
    model = fabric().setup(Net())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(X), model(X))
        assert other.layer is not model.layer


@pytest.mark.parametrize(
    ("precision", "inputs", "autocast", "weights"),
    [
        ("32-true", torch.float32, False, torch.float32),
        ("64-true", torch.float64, False, torch.float64),
        ("bf16-true", torch.bfloat16, False, torch.bfloat16),
        ("bf16-mixed", torch.float32, True, torch.float32),
    ],
)
def test_forward_and_steps_run_in_the_number_format(precision, inputs, autocast, weights):
    net = Net()
    model = fabric(precision=precision).setup(net)
    assert model(X).dtype is torch.float32
    assert net.seen == (inputs, autocast, weights)
    net.seen = ()
    assert model.training_step(X).dtype is torch.float32
    assert net.seen == (inputs, autocast, weights)


def test_mark_forward_method():
    net = Net()
    model = fabric(precision="bf16-mixed").setup(net)
    model.score(X)
    assert net.seen[1] is False
    model.mark_forward_method("score")
    assert model.score(X)["score"].dtype is torch.float32
    assert net.seen[1] is True
    model.mark_forward_method(model.size)
    model.mark_forward_method(net.size)
    assert model.size() == 2


def test_what_cannot_be_marked():
    model = fabric().setup(Net())
    with pytest.raises(ValueError, match="`forward` runs as the forward pass already"):
        model.mark_forward_method("forward")
    with pytest.raises(AttributeError, match="Net has no method 'scor' to mark. Did you mean 'score'?"):
        model.mark_forward_method("scor")
    with pytest.raises(AttributeError, match="no method 'layer'"):
        model.mark_forward_method("layer")
    for wrong in (lambda x: x, 3):
        with pytest.raises(TypeError, match="`method` got"):
            model.mark_forward_method(wrong)


def test_hooks_on_the_users_module_run_once():
    net, calls = Net(), []
    net.register_forward_hook(lambda *_: calls.append(1))
    fabric().setup(net)(X)
    assert calls == [1]


def test_a_compiled_module_stays_compiled_and_keeps_its_names():
    net, graphs = Net(), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(net, backend=backend)
    model = fabric().setup(compiled)
    assert torch.equal(model(X), net(X))
    assert graphs
    assert model.module is net
    assert list(model.state_dict()) == ["layer.weight", "layer.bias"]
    assert is_wrapped(model)
    torch.compiler.reset()


def test_loader_counts_epochs_for_its_sampler_and_reads_through():
    epochs: list[int] = []

    class Sampler(RandomSampler):
        def set_epoch(self, epoch: int) -> None:
            epochs.append(epoch)

    data = TensorDataset(torch.arange(6.0))
    own = DataLoader(data, batch_size=2, sampler=Sampler(data))
    loader = fabric().setup_dataloaders(own)
    assert len(loader) == 3
    assert loader.dataset is data
    assert loader.batch_size == 2
    for _ in range(2):
        assert sorted(torch.cat([batch for (batch,) in loader]).tolist()) == data.tensors[0].tolist()
    assert epochs == [0, 1]
    assert len(copy.copy(loader)) == 3
    with pytest.raises(AttributeError, match="nope"):
        loader.nope  # noqa: B018


def test_loader_draws_when_the_plain_one_draws():
    data = TensorDataset(torch.arange(8.0))

    def order(wrap) -> list[object]:
        torch.manual_seed(1)
        loader = wrap(DataLoader(data, batch_size=2, shuffle=True))
        seen: list[object] = []
        for _ in range(2):
            batches = iter(loader)
            seen.append(torch.rand(1).item())
            seen += [batch[0].tolist() for batch in batches]
        return [*seen, torch.rand(1).item()]

    assert order(lambda loader: loader) == order(fabric().setup_dataloaders)


def test_loader_moves_batches_or_not():
    setup = fabric().setup_dataloaders
    items = [CPULoader()]
    assert setup(items).device == torch.device("cpu")
    assert next(iter(setup(items))).moved
    items = [CPULoader()]
    assert setup(items, move_to_device=False).device is None
    assert not next(iter(setup(items, move_to_device=False))).moved


def test_optimizer_is_one_of_its_class():
    net = nn.Linear(2, 1)
    own = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer = fabric().setup_optimizers(own)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.optimizer is own
    assert optimizer.param_groups is own.param_groups
    assert optimizer.state_dict() == own.state_dict()
    assert optimizer.step(lambda: 7) == 7
    assert optimizer.step() is None
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    optimizer.step()
    scheduler.step()
    assert own.param_groups[0]["lr"] == 0.05


def test_is_wrapped_and_unwrap():
    net = Net()
    own = torch.optim.SGD(net.parameters(), lr=0.1)
    model, optimizer = fabric().setup(net, own)
    loader = fabric().setup_dataloaders([1])
    assert all(map(is_wrapped, (model, optimizer, loader, torch.compile(model))))
    assert not any(map(is_wrapped, (net, own, [1], 3, None)))
    assert unwrap(model) is net
    assert unwrap(optimizer) is own
    assert unwrap(3) == 3


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).mean()
        self.log("loss", loss, prog_bar=True)
        self.log("quiet", 1.0, logger=False)
        self.log_dict({"a": 1.0, "b": torch.tensor(2.0)})
        self.log_dict({"quiet": 1.0}, logger=False)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Rows:
    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def log_metrics(self, metrics, step=None):
        self.rows.append({**metrics, "step": step})


def test_a_lightning_module_logs_to_fabrics_loggers():
    logger = Rows()
    runner = fabric(loggers=logger)
    module = Module()
    model, optimizer = runner.setup(module, module.configure_optimizers())
    loss = model.training_step(X, 0)
    assert logger.rows == [{"loss": loss.item(), "step": None}, {"a": 1.0, "b": 2.0, "step": None}]
    assert module.fabric is runner
    assert module.logger is logger
    assert module.loggers == [logger]
    assert module.optimizers() is optimizer


def test_a_lightning_module_reaches_what_needs_no_trainer(capsys):
    runner, module = fabric(), Module()
    model, optimizer = runner.setup(module, module.configure_optimizers())
    module.manual_backward(module.layer(X).mean())
    assert module.layer.weight.grad is not None
    module.clip_gradients(optimizer, gradient_clip_val=0.1)
    assert torch.linalg.vector_norm(module.layer.weight.grad) <= 0.1
    module.toggle_optimizer(optimizer)
    module.untoggle_optimizer(optimizer)
    module.print("here")
    assert capsys.readouterr().out == "here\n"
    assert torch.equal(module.all_gather(X), X)
    assert (module.current_epoch, module.global_step, module.global_rank, module.local_rank) == (0, 0, 0, 0)
    assert module.lr_schedulers() is None
    assert module.trainer.strategy is runner.strategy
    with pytest.raises(AttributeError, match=r"`self.trainer.max_epochs` needs a Trainer, and this module runs under"):
        model.trainer.max_epochs  # noqa: B018


def test_a_lightning_module_can_be_given_a_fabric_and_let_go():
    module = Module()
    assert module.fabric is None
    runner = fabric()
    module.fabric = runner
    assert module.fabric is runner
    module.fabric = None
    assert module.fabric is None
    with pytest.raises(RuntimeError, match="not attached to a `Trainer`"):
        module.trainer  # noqa: B018


def test_a_lightning_module_that_fabric_set_up_can_be_trained_afterwards(tmp_path):
    import leyden as pl

    module = Module()
    fabric().setup(module)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, DataLoader(torch.ones(4, 2), batch_size=2))
    assert module.trainer is trainer
    assert module.fabric is None
