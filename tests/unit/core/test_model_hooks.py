import inspect

import torch

from leyden.core.model_hooks import ModelHooks


def test_model_eval_hooks_switch_to_evaluation_mode():
    for stage in ("validation", "test", "predict"):
        module = ModelHooks()
        module.child = torch.nn.Dropout()
        getattr(module, f"on_{stage}_model_eval")()
        assert not module.training
        assert not module.child.training


def test_zero_grad_hook_frees_the_gradients():
    module = ModelHooks()
    module.layer = torch.nn.Linear(1, 1)
    module.layer(torch.ones(1, 1)).sum().backward()
    module.on_validation_model_zero_grad()
    assert all(parameter.grad is None for parameter in module.parameters())


def test_all_other_hooks_do_nothing_and_return_nothing():
    module = ModelHooks()
    hooks = {n: f for n, f in vars(ModelHooks).items() if inspect.isfunction(f)}
    active = {"on_validation_model_zero_grad", *(f"on_{s}_model_eval" for s in ("validation", "test", "predict"))}
    for name in hooks.keys() - active:
        count = len(inspect.signature(hooks[name]).parameters) - 1
        assert getattr(module, name)(*[None] * count) is None, name
    assert module.training
