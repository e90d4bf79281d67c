"""Every mistake of the corpus is caught early, with a message that says what is wrong and what to write."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from torch.optim.optimizer import register_optimizer_step_post_hook

from mistakes import arguments, callbacks, checkpoints, cli, data, evaluation, modules, optimizers  # noqa: F401  # the corpus
from mistakes.kit import CORPUS, Counts, Mistake

HOW_TO_MEND_IT = re.compile(
    r"Fix:|Accepted:|Did you mean|Available:|Known:|select one|Call it|Use |Look at|appended|tip:"
)
LONGEST = 10


@pytest.fixture(autouse=True)
def counts() -> Iterator[None]:
    def count(*_: Any) -> None:
        Counts.steps += 1

    Counts.reset()
    handle = register_optimizer_step_post_hook(count)
    yield
    handle.remove()


def check_message(mistake: Mistake, message: str, record: Callable[[str, object], None]) -> None:
    record("caught", (mistake.error.__name__, message))
    missing = [pattern for pattern in mistake.patterns if not re.search(pattern, message)]
    assert not missing, f"{missing} not in: {message}"
    assert HOW_TO_MEND_IT.search(message), f"no way out: {message}"
    assert len(message.splitlines()) <= LONGEST, message
    assert max(map(len, message.splitlines())) <= 700, message


@pytest.mark.parametrize("mistake", CORPUS, ids=lambda mistake: mistake.name)
def test_mistake(mistake: Mistake, record_property: Callable[[str, object], None]) -> None:
    if issubclass(mistake.error, Warning):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mistake.make()
        found = [w for w in caught if issubclass(w.category, mistake.error)]
        texts = [str(w.message) for w in found]
        fitting = [text for text in texts if all(re.search(pattern, text) for pattern in mistake.patterns)]
        assert fitting, texts
        check_message(mistake, fitting[0], record_property)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(mistake.error) as raised:
            mistake.make()
    text = "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    check_message(mistake, text, record_property)
    assert Counts.batches <= mistake.batches
    assert mistake.steps is not None
    assert Counts.steps <= mistake.steps


def test_the_corpus_has_no_name_twice() -> None:
    names = [mistake.name for mistake in CORPUS]
    assert len(names) == len(set(names))
    assert len(names) >= 100
