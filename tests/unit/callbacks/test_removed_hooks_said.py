"""What is said about old names: one warning each for those that work, one error for all that do not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, loader, trainer
from leyden.errors import ConfigurationErrors, LightningDeprecationWarning, MisconfigurationException
from leyden.legacy import hooks as old


def old_messages(run: Callable[[], Any]) -> list[str]:
    """The deprecation warnings of a call, all of which must point here."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    deprecated = [warning for warning in caught if warning.category is LightningDeprecationWarning]
    assert {warning.filename for warning in deprecated} <= {__file__}
    return [str(warning.message) for warning in deprecated]


def method(self: Any, *args: Any) -> None:
    """Stands for any hook."""


def with_method(name: str) -> Regression:
    return type("Old", (Regression,), {name: method, "__module__": __name__})()


CALLED = {row.name for row in old.CALLED if "m" in row.owners}
CALLED |= {name for name, (owners, _) in old.INSTEAD.items() if "m" in owners and not name.startswith("tng_")}
REFUSED = old.REFUSED.keys() - {"optimizer_idx", "hiddens", "truncated_bptt_steps"}


@pytest.mark.parametrize("name", sorted(CALLED))
def test_each_old_hook_of_a_module_is_said_once_with_the_line_to_write(name: str) -> None:
    module = with_method(name)
    twice = old_messages(lambda: [trainer().fit(module, loader()) for _ in range(2)])  # type: ignore[func-returns-value]
    assert len(twice) == 1
    assert twice[0].startswith(f"`Old.{name}` is of an old release")
    assert " Write instead: " in twice[0]


@pytest.mark.parametrize("name", sorted({row.name for row in old.CALLED if "c" in row.owners}))
def test_each_old_hook_of_a_callback_is_said_once(name: str) -> None:
    kind: Any = type("OldCallback", (pl.Callback,), {name: method, "__module__": __name__})
    (message,) = old_messages(lambda: trainer(callbacks=[kind(), kind()]).fit(Regression(), loader()))
    assert message.startswith(f"`OldCallback.{name}` is of an old release")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_hooks_without_a_counterpart_are_refused(name: str) -> None:
    with pytest.raises(MisconfigurationException, match=rf"`Old.{name}` .*has no counterpart. Fix: .*"):
        trainer().fit(with_method(name), loader())


@pytest.mark.parametrize(
    ("parameter", "fix"),
    [
        (
            "optimizer_idx",
            r"self.automatic_optimization = False.*for opt in self.optimizers\(\).*self.manual_backward\(loss\)",
        ),
        ("hiddens", r"self.automatic_optimization = False.*for chunk in batch.split"),
    ],
)
def test_steps_of_several_optimizers_and_of_chunks_are_refused_with_the_code_to_write(parameter: str, fix: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def training_step(self, batch, batch_idx, {parameter}): ...", space)
    module: Any = type("Old", (Regression,), {"training_step": space["training_step"]})()
    with pytest.raises(MisconfigurationException, match=rf"(?s)training_step\(..., {parameter}\).*{fix}") as caught:
        trainer().fit(module, loader())
    assert not isinstance(caught.value, ConfigurationErrors)


def test_truncated_backpropagation_is_refused() -> None:
    module = Regression()
    module.truncated_bptt_steps = 2
    with pytest.raises(MisconfigurationException, match="truncated_bptt_steps.*batch.split"):
        trainer().fit(module, loader())


def test_a_number_of_steps_that_the_module_uses_itself_is_its_own() -> None:
    class Modern(Regression):
        automatic_optimization = False
        truncated_bptt_steps = 2

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.optimizers().zero_grad()
            for chunk in batch[0].split(self.truncated_bptt_steps):
                self.manual_backward(self.layer(chunk).sum())
            self.optimizers().step()

    assert old_messages(lambda: trainer().fit(Modern(), loader())) == []


def test_several_optimizers_are_refused_when_they_are_returned() -> None:
    class Old(Regression):
        def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int = 0) -> Any:
            return self.loss(batch)

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), lr=0.1), torch.optim.SGD(self.parameters(), lr=0.1)]

    with pytest.raises(RuntimeError, match=r"returned 2 optimizers.*self.automatic_optimization = False"):
        trainer().fit(Old(), loader())


def test_all_that_has_no_counterpart_is_in_one_error_with_what_else_is_wrong() -> None:
    class Old(pl.LightningModule):
        tbptt_split_batch = method
        configure_ddp = method
        on_epoch_end = method

        def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int) -> Any:
            return None

        def on_train_epoch_end(self) -> None:
            self.write_prediction("a", torch.ones(1))

    with pytest.raises(ConfigurationErrors) as caught, pytest.warns(LightningDeprecationWarning, match="on_epoch_end"):
        trainer().fit(Old(), loader())
    text = str(caught.value)
    assert "5 mistakes" in text
    names = ("training_step(..., optimizer_idx)", "tbptt_split_batch", "configure_ddp", "write_prediction")
    assert all(f"Old.{name}`" in text for name in names)
    assert "no `configure_optimizers`" in text


def test_nothing_ran_before_the_error() -> None:
    class Old(Regression):
        configure_ddp = method

        def setup(self, stage: str) -> None:
            self.calls.append(stage)

    module = Old()
    with pytest.raises(MisconfigurationException):
        trainer().fit(module, loader())
    assert module.calls == []
    assert "training_step" not in vars(module)


@pytest.mark.parametrize("name", ["grad_norm", "loaded_optimizer_states_dict", "write_prediction_dict"])
def test_attributes_of_the_old_module_are_refused_where_they_are_used(name: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def on_train_start(self): self.{name}", space)
    kind: Any = type("Old", (Regression,), {"on_train_start": space["on_train_start"]})
    with pytest.raises(MisconfigurationException, match=rf"`Old.{name}` .*has no counterpart. Fix: write "):
        trainer().fit(kind(), loader())


class Data(pl.LightningDataModule):
    def train_dataloader(self) -> Any:
        return loader()


@pytest.mark.parametrize("name", ["dims", "train_transforms", "has_setup_fit"])
def test_attributes_of_the_old_data_module_are_refused_where_they_are_used(name: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def setup(self, stage): self.x = self.{name}", space)
    kind: Any = type("Old", (Data,), {"setup": space["setup"]})
    with pytest.raises(MisconfigurationException, match=rf"`Old.{name}` .*an attribute of your own"):
        trainer().fit(Regression(), kind())


def test_attributes_that_the_class_sets_or_asks_for_are_its_own() -> None:
    class Modern(Data):
        train_transforms = None

        def setup(self, stage: str) -> None:
            self.dims = (1, 2)
            self.size = 3 if hasattr(self, "size") and self.size else 2

        def train_dataloader(self) -> Any:
            assert self.dims == (1, 2)
            return super().train_dataloader() if self.train_transforms is None else None

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer().fit(Regression(), Modern())


STEP = "self, epoch, batch_idx, optimizer, optimizer_idx, optimizer_closure, on_tpu, using_native_amp, using_lbfgs"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            f"def optimizer_step({STEP}): optimizer.step(closure=optimizer_closure)",
            "def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure)",
        ),
        ("def on_train_epoch_end(self, outputs): ...", "def on_train_epoch_end(self)"),
        (
            "def transfer_batch_to_device(self, batch, device): return batch",
            "def transfer_batch_to_device(self, batch, device, dataloader_idx)",
        ),
    ],
)
def test_old_parameters_are_said_with_todays(source: str, said: str) -> None:
    space: dict[str, Any] = {}
    exec(source, space)
    name = source[4 : source.index("(")]
    module: Any = type("Old", (Regression,), {name: space[name], "__module__": __name__})()
    (message,) = old_messages(lambda: trainer().fit(module, loader()))
    assert f"`{said}`" in message


def test_returned_dicts_are_said_when_the_first_one_comes() -> None:
    class Old(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            return {"loss": loss, "log": {"a": loss}}

    with pytest.warns(LightningDeprecationWarning, match=r"`Old.training_step`, which returns .*self.log\(name, value"):
        trainer().fit(Old(), loader())


def test_a_dict_without_old_keys_is_not_old() -> None:
    class Modern(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return {"loss": self.loss(batch), "log": "a text", "extra": 1}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer().fit(Modern(), loader())
