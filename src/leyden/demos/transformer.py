"""A small language model, and a text to train it on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from leyden.core.module import LightningModule

ADDRESS = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/train.txt"


class Transformer(nn.Module):
    """Predicts each next word of a sequence.

    Args:
        vocab_size: The number of words.
        ninp: The width of the model.
        nhead: Attention heads.
        nhid: The width of the feed-forward layers.
        nlayers: Layers of encoder and decoder.
        dropout: The probability of dropping an activation.

    Example:
        >>> words = torch.zeros(2, 5, dtype=torch.long)
        >>> Transformer(vocab_size=10, ninp=8)(words, words).shape
        torch.Size([10, 10])
    """

    def __init__(
        self,
        vocab_size: int = 33278,
        ninp: int = 200,
        nhead: int = 2,
        nhid: int = 200,
        nlayers: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.vocab_size, self.ninp = vocab_size, ninp
        self.embedding = nn.Embedding(vocab_size, ninp)
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Transformer(ninp, nhead, nlayers, nlayers, nhid, dropout, batch_first=True)
        self.decoder = nn.Linear(ninp, vocab_size)

    def forward(self, inputs: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the log-probabilities, of shape (samples * length, words), of ``inputs`` of shape (samples, length)."""
        if mask is None:
            length = inputs.shape[1]
            mask = torch.triu(torch.ones(length, length, dtype=torch.bool, device=inputs.device), diagonal=1)
        output = self.transformer(self._embed(inputs), self._embed(target), tgt_mask=mask)
        return nn.functional.log_softmax(self.decoder(output), dim=-1).view(-1, self.vocab_size)

    def _embed(self, words: Tensor) -> Tensor:
        """Words and their positions as vectors: sines and cosines of falling frequency."""
        position = torch.arange(words.shape[1], device=words.device).unsqueeze(1)
        rate = torch.exp(torch.arange(0, self.ninp, 2, device=words.device) * (-math.log(10000.0) / self.ninp))
        waves = torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=-1).flatten(1)
        embedded: Tensor = self.dropout(self.embedding(words) * math.sqrt(self.ninp) + waves[:, : self.ninp])
        return embedded


class LightningTransformer(LightningModule):
    """:class:`Transformer` as a LightningModule, with :class:`WikiText2` as its data.

    Args:
        vocab_size: The number of words.
    """

    def __init__(self, vocab_size: int = 33278) -> None:
        super().__init__()
        self.model = Transformer(vocab_size=vocab_size)

    def forward(self, inputs: Tensor, target: Tensor) -> Tensor:
        """See :meth:`Transformer.forward`."""
        output: Tensor = self.model(inputs, target)
        return output

    def _loss(self, batch: Any) -> Tensor:
        inputs, target = batch
        return nn.functional.nll_loss(self(inputs, target), target.reshape(-1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self._loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self._loss(batch)

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return self._loss(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def prepare_data(self) -> None:
        WikiText2()

    def train_dataloader(self) -> Any:
        return DataLoader(WikiText2(), batch_size=20)


class WikiText2(Dataset[tuple[Tensor, Tensor]]):
    """Sequences of words from a text, and the same sequences one word later.

    Args:
        data_dir: The folder of ``wikitext-2.txt``, a text of words between spaces.
        block_size: Words per sequence.
        download: Fetch the file where there is none.

    Raises:
        FileNotFoundError: There is no such file, and ``download`` is False.
    """

    def __init__(self, data_dir: str | Path = "data", block_size: int = 35, download: bool = True) -> None:
        path = Path(data_dir, "wikitext-2.txt")
        if not path.exists() and download:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(ADDRESS, str(path), progress=False)
        words = path.read_text(encoding="utf-8").replace("\n", " <eos> ").split()
        self.dictionary = {word: number for number, word in enumerate(dict.fromkeys(words))}
        self.data = torch.tensor([self.dictionary[word] for word in words])
        self.block_size = block_size

    @property
    def vocab_size(self) -> int:
        """The number of words."""
        return len(self.dictionary)

    def __len__(self) -> int:
        return max(len(self.data) - 1, 0) // self.block_size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = index * self.block_size
        words = self.data[start : start + self.block_size + 1]
        return words[:-1], words[1:]
