"""Models that define only ``forward``, and plain modules, are trained."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from leyden.core.supervised import Supervised, default_optimizer, infer_loss, is_supervised, learning_rate, steps_of
from leyden.errors import MisconfigurationException
from mistakes.kit import trainer


class MyModel(pl.LightningModule):
    """The model of the guide: a forward, and nothing else."""

    def __init__(self, hidden_dim=8, learning_rate=0.001):
        super().__init__()
        self.layer = nn.Linear(1, hidden_dim)
        self.activation = nn.ReLU()
        self.output_layer = nn.Linear(hidden_dim, 1)

    def forward(self, x):
        return self.output_layer(self.activation(self.layer(x)))


def create_model(hidden_dim=8):
    return nn.Sequential(nn.Linear(1, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, 1))


def regression(count=32):
    x = torch.linspace(-1, 1, count).unsqueeze(1)
    return DataLoader(TensorDataset(x, 2 * x + 1), batch_size=8)


def classification(count=32):
    x = torch.linspace(-1, 1, count).unsqueeze(1)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8)


@pytest.mark.parametrize("build", [MyModel, create_model])
def test_regression_learns(build, capsys):
    torch.manual_seed(0)
    model, made = build(), trainer(max_epochs=40)
    before = functional.mse_loss(model(torch.ones(1, 1)), torch.tensor([[3.0]])).item()
    made.fit(model, regression(), regression())
    assert made.callback_metrics["train_loss"] < before
    assert set(made.callback_metrics) == {"train_loss", "val_loss"}
    assert made.progress_bar_metrics.keys() == {"train_loss", "val_loss"}
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("defines no training_step: supervised training with Adam(lr=0.001) and mse_loss.")
    assert line.startswith("MyModel" if build is MyModel else "Sequential")


def test_it_says_so_once_and_can_be_pickled_after_a_run(capsys):
    model = MyModel()
    trainer(max_epochs=2).fit(model, regression())
    trainer().fit(model, regression())
    assert len(capsys.readouterr().out.splitlines()) == 1
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.layer.weight, model.layer.weight)


def test_classification_learns(capsys):
    torch.manual_seed(0)
    model, made = nn.Linear(1, 2), trainer(max_epochs=3)
    made.fit(model, classification(), classification())
    assert made.callback_metrics["val_loss"] < 1.5
    assert "cross_entropy" in capsys.readouterr().out


def test_the_steps_are_those_of_a_plain_loop():
    torch.manual_seed(0)
    model = create_model()
    copy = create_model()
    copy.load_state_dict(model.state_dict())
    trainer(max_epochs=2).fit(model, regression())
    optimizer = torch.optim.Adam(copy.parameters(), lr=1e-3, fused=True)
    for _ in range(2):
        for x, y in regression():
            optimizer.zero_grad()
            functional.mse_loss(copy(x), y).backward()
            optimizer.step()
    for ours, plain in zip(model.parameters(), copy.parameters(), strict=True):
        assert torch.equal(ours, plain)


def test_its_own_optimizer_is_kept(capsys):
    class Own(MyModel):
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.5)

    made = trainer()
    made.fit(Own(), regression())
    assert type(made.optimizers[0]) is torch.optim.SGD
    assert "SGD(lr=0.5) and mse_loss" in capsys.readouterr().out


def with_rate(**attributes):
    model = MyModel()
    vars(model).update(attributes)
    return model


class Saves(MyModel):
    def __init__(self, learning_rate=None, lr=None):
        super().__init__()
        self.save_hyperparameters()


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        (MyModel(), 1e-3),
        (with_rate(learning_rate=0.5), 0.5),
        (with_rate(lr=0.25), 0.25),
        (with_rate(lr=0.25, learning_rate=0.5), 0.5),
        (with_rate(lr="0.1"), 1e-3),
        (Saves(learning_rate=0.2), 0.2),
        (Saves(lr=2), 2.0),
        (Supervised(nn.Linear(1, 1)), 1e-3),
        (Supervised(nn.Linear(1, 1), lr=0.3), 0.3),
        (Supervised(with_rate(lr=0.25)), 0.25),
    ],
)
def test_learning_rate(model, rate):
    assert learning_rate(model) == rate
    optimizer = default_optimizer(model)
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == rate
    assert optimizer.param_groups[0]["fused"]


def test_frozen_parameters_are_left_out():
    model = nn.Sequential(nn.Linear(1, 1).requires_grad_(False), nn.Linear(1, 1))
    before = model[0].weight.clone()
    trainer().fit(model, regression())
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize(
    ("prediction", "target", "loss"),
    [
        (torch.ones(4, 3), torch.ones(4).long(), functional.cross_entropy),
        (torch.ones(4, 3), torch.ones(4, dtype=torch.uint8), functional.cross_entropy),
        (torch.ones(2, 5, 7, 7), torch.ones(2, 7, 7).long(), functional.cross_entropy),
        (torch.ones(4, 3), torch.ones(4, 3), functional.mse_loss),
        (torch.ones(4), torch.ones(4), functional.mse_loss),
        (torch.ones(4).double(), torch.ones(4).double(), functional.mse_loss),
    ],
)
def test_losses(prediction, target, loss):
    assert infer_loss(prediction, target) is loss


@pytest.mark.parametrize(
    ("prediction", "target"),
    [
        (torch.ones(4, 1), torch.ones(4)),
        (torch.ones(4), torch.ones(4).long()),
        (torch.ones(4, 3), torch.ones(4, 1).long()),
        (torch.ones(4, 3), torch.ones(5).long()),
        (torch.ones(4, 3), torch.ones(4, 3).to(torch.complex64)),
        ((torch.ones(4), torch.ones(4)), torch.ones(4)),
        (torch.ones(4), [1, 2, 3, 4]),
    ],
)
def test_ambiguous(prediction, target):
    with pytest.raises(MisconfigurationException, match="leyden.Supervised\\(model, loss="):
        infer_loss(prediction, target)


def test_ambiguous_before_the_first_step():
    model = nn.Linear(1, 1)
    before = model.weight.clone()
    data = TensorDataset(torch.ones(8, 1), torch.ones(8))
    with pytest.raises(MisconfigurationException, match="No loss follows"):
        trainer().fit(model, DataLoader(data, batch_size=4))
    assert torch.equal(model.weight, before)


def test_a_loss_of_one_s_own(capsys):
    data = DataLoader(TensorDataset(torch.ones(8, 1), torch.ones(8)), batch_size=4)
    model = Supervised(nn.Linear(1, 1), loss=lambda p, t: functional.l1_loss(p[:, 0], t))
    made = trainer()
    made.fit(model, data)
    assert made.global_step == 2
    trainer().fit(Supervised(nn.Linear(1, 1), loss=nn.HuberLoss()), regression())
    assert "HuberLoss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "name"), [({"model": 3}, "model"), ({"model": nn.Linear(1, 1), "loss": "mse"}, "loss")]
)
def test_bad_arguments(arguments, name):
    with pytest.raises(TypeError, match=f"`{name}`"):
        Supervised(**arguments)


def test_what_is_supervised():
    class Steps(MyModel):
        def training_step(self, batch, batch_idx):
            return None

    class Predicts(MyModel):
        def predict_step(self, batch, batch_idx):
            return None

    assert is_supervised(MyModel())
    assert is_supervised(Supervised(nn.Linear(1, 1)))
    assert not is_supervised(Steps())
    assert not is_supervised(Predicts())
    assert not is_supervised(pl.LightningModule())
    assert steps_of(Steps()) == {}
    assert set(steps_of(MyModel())) == {"training_step", "validation_step", "test_step"}


def test_one_plain_module_through_every_method(capsys):
    model, made = create_model(), trainer()
    made.fit(model, regression())
    wrapper = made.lightning_module
    assert isinstance(wrapper, Supervised)
    assert wrapper.model is model
    made.fit_loop.max_epochs = 2
    made.fit(model, regression())
    assert made.lightning_module is wrapper
    assert made.global_step == 8
    (row,) = made.test(model, regression(), verbose=False)
    assert row.keys() == {"test_loss"}
    assert made.validate(model, regression(), verbose=False)[0].keys() == {"val_loss"}
    predictions = made.predict(model, regression())
    assert torch.equal(torch.cat(predictions), model(next(iter(regression(32).dataset.tensors[:1]))).detach())
    assert torch.equal(made.predict(model, DataLoader(torch.ones(2, 1)))[0], model(torch.ones(1, 1)).detach())
    other = create_model()
    made.predict(other, regression())
    assert made.lightning_module.model is other


def test_a_module_with_forward_alone_predicts_on_the_whole_batch():
    class Takes(pl.LightningModule):
        def forward(self, batch):
            x, y = batch
            return x + y

    data = DataLoader(TensorDataset(torch.ones(2), torch.ones(2)), batch_size=2)
    assert trainer().predict(Takes(), data)[0].tolist() == [2, 2]


def test_a_checkpoint_of_a_plain_module_loads_back(tmp_path):
    model, made = create_model(), trainer(max_epochs=2)
    calm = create_model()
    calm.load_state_dict(model.state_dict())
    made.fit(model, regression())
    made.save_checkpoint(tmp_path / "model.ckpt")
    loaded = Supervised.load_from_checkpoint(tmp_path / "model.ckpt", model=create_model())
    for ours, other in zip(loaded.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, other)
    other = create_model()
    again = trainer(max_epochs=3)
    again.fit(other, regression(), ckpt_path=tmp_path / "model.ckpt")
    assert again.global_step == 12
    trainer(max_epochs=3).fit(calm, regression())
    for ours, expected in zip(other.parameters(), calm.parameters(), strict=True):
        assert torch.equal(ours, expected)


def test_containers_of_layers():
    model = nn.Sequential(OrderedDict(first=nn.Linear(1, 4), last=nn.Linear(4, 1)))
    made = trainer()
    made.fit(model, regression())
    assert made.global_step == 4


def test_batches_may_be_lists_or_tuples_of_two():
    made = trainer()
    made.fit(nn.Linear(1, 1), iter([(torch.ones(2, 1), torch.ones(2, 1)), [torch.ones(2, 1), torch.ones(2, 1)]]))
    assert made.global_step == 2
