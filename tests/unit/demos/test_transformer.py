from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from leyden.demos.transformer import LightningTransformer, Transformer, WikiText2


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "wikitext-2.txt").write_text("the cat sat on the mat\n" * 60)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_a_text_is_cut_into_sequences_and_their_next_words(text: Path) -> None:
    data = WikiText2(text, block_size=5, download=False)
    assert (data.vocab_size, len(data)) == (6, (60 * 7 - 1) // 5)
    inputs, target = data[3]
    assert torch.equal(inputs[1:], target[:-1])


def test_a_missing_text_is_an_error_unless_it_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WikiText2(tmp_path, download=False)


def test_a_word_depends_on_earlier_targets_only() -> None:
    torch.manual_seed(0)
    model = Transformer(vocab_size=10, ninp=8, nhid=8).eval()
    words = torch.randint(10, (1, 5))
    changed = words.clone()
    changed[0, -1] += 1
    assert torch.allclose(model(words, words)[:-1], model(words, changed % 10)[:-1])


def test_it_trains_on_its_own_text(text: Path) -> None:
    module = LightningTransformer(vocab_size=6)
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", max_steps=2, enable_checkpointing=False, num_sanity_val_steps=0, **quiet)
    trainer.fit(module, val_dataloaders=module.train_dataloader())
    assert trainer.global_step == 2
    batch = next(iter(module.train_dataloader()))
    assert module.validation_step(batch, 0).isfinite() and module.test_step(batch, 0).isfinite()
