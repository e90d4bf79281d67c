"""LightningDataModule: the data of a run, from download to loaders, in one object that can be shared."""

from __future__ import annotations

from collections.abc import Sized
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import IO, TYPE_CHECKING, Any, Self

import torch
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, IterableDataset

from leyden.core.hparams import HyperparametersMixin, build_from_checkpoint, class_only, read_checkpoint
from leyden.errors import MisconfigurationException
from leyden.legacy.attributes import DATAMODULE, with_old_names
from leyden.utils.overrides import accepts_argument
from leyden.utils.seed import isolate_rng
from leyden.utils.tree import move_to_device

if TYPE_CHECKING:
    from leyden.trainer import Trainer

_SPLITS = {"train": "Train", "val": "Validation", "test": "Test", "predict": "Predict"}


class DataHooks:
    """The hooks about data that LightningModule and LightningDataModule share."""

    prepare_data_per_node: bool = True
    """True: one process per host runs ``prepare_data``. False: one process of the whole run."""
    allow_zero_length_dataloader_with_multiple_devices: bool = False

    def prepare_data(self) -> None:
        """Download or preprocess, in one process only; set no attributes here, other processes would lack them."""

    def setup(self, stage: str) -> None:
        """Make the data sets, in every process; ``stage`` is ``fit``, ``validate``, ``test`` or ``predict``."""

    def teardown(self, stage: str) -> None:
        """Clean up at the end of a stage, in every process."""

    def train_dataloader(self) -> Any:
        """Return the training loader, or a list or dict of loaders."""
        raise _missing_loader(self, "train_dataloader")

    def val_dataloader(self) -> Any:
        """Return the validation loader, or several."""
        raise _missing_loader(self, "val_dataloader")

    def test_dataloader(self) -> Any:
        """Return the test loader, or several."""
        raise _missing_loader(self, "test_dataloader")

    def predict_dataloader(self) -> Any:
        """Return the loader to predict for, or several."""
        raise _missing_loader(self, "predict_dataloader")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before it goes to the device; return it."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch to ``device``; override it for objects that have no ``.to(device)``."""
        return move_to_device(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch on the device; return it."""
        return batch


@with_old_names(DATAMODULE)
class LightningDataModule(DataHooks, HyperparametersMixin):
    """Data sets and loaders of a run; works with a Trainer and without.

    Define ``train_dataloader`` and the other loaders as needed, ``prepare_data`` to download, ``setup`` to split.

    Example:
        >>> class Numbers(LightningDataModule):
        ...     def __init__(self, size: int = 8, batch_size: int = 2):
        ...         super().__init__()
        ...         self.save_hyperparameters()
        ...     def setup(self, stage):
        ...         self.numbers = torch.arange(self.hparams.size)
        ...     def train_dataloader(self):
        ...         return DataLoader(self.numbers, batch_size=self.hparams.batch_size)
        >>> data = Numbers(size=4)
        >>> data.setup("fit")
        >>> [batch.tolist() for batch in data.train_dataloader()]
        [[0, 1], [2, 3]]
    """

    CHECKPOINT_HYPER_PARAMS_KEY = "datamodule_hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "datamodule_hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "datamodule_hparams_type"

    name: str | None = None
    trainer: Trainer = None  # type: ignore[assignment]  # None until a run begins; hooks, which read it, come later
    """The Trainer that uses it; None outside of a run."""

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Any = None,
        val_dataset: Any = None,
        test_dataset: Any = None,
        predict_dataset: Any = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **datamodule_kwargs: Any,
    ) -> Self:
        """Make a data module from data sets; each may be a list of data sets, which gives as many loaders.

        Args:
            train_dataset: Shuffled, unless it is an IterableDataset.
            val_dataset: Not shuffled, as the next two.
            test_dataset: For ``Trainer.test``.
            predict_dataset: For ``Trainer.predict``.
            batch_size: Samples per batch of every loader.
            num_workers: Worker processes of every loader.
            datamodule_kwargs: Arguments of ``__init__``, which also gets ``batch_size`` and ``num_workers`` if it has
                such parameters.

        Example:
            >>> dataset = torch.utils.data.TensorDataset(torch.arange(4))
            >>> data = LightningDataModule.from_datasets(val_dataset=dataset, batch_size=4)
            >>> print(*data.val_dataloader())
            [tensor([0, 1, 2, 3])]
        """
        options = {"batch_size": batch_size, "num_workers": num_workers}
        accepted = {name: value for name, value in options.items() if accepts_argument(cls, name)}
        made = cls(**{**accepted, **datamodule_kwargs})
        for split, dataset in zip(_SPLITS, (train_dataset, val_dataset, test_dataset, predict_dataset), strict=True):
            if dataset is not None:  # a partial of a plain function, so that the object can be pickled
                setattr(made, f"{split}_dataloader", partial(_loaders, dataset, split == "train", options))
        return made

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint is to hold of this object: plain values and tensors."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""

    def on_exception(self, exception: BaseException) -> None:
        """Called when a run ends with an exception, after the callbacks."""

    @class_only
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | PathLike[str] | IO[bytes],
        map_location: Any = None,
        hparams_file: str | PathLike[str] | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Build the data module from a checkpoint: its hyper-parameters, then its state.

        Args:
            checkpoint_path: A path, URL or binary stream.
            map_location: As in ``torch.load``; default: where tensors were, or the CPU if that device is not here.
            hparams_file: A ``.yaml`` or ``.csv`` file whose entries replace the saved hyper-parameters.
            weights_only: False runs arbitrary code from the file; only for files you trust.
            kwargs: Arguments of ``__init__`` that override the saved ones.

        Raises:
            TypeError: It was called on an instance, or ``__init__`` needs arguments that the checkpoint lacks.
        """
        checkpoint = read_checkpoint(checkpoint_path, map_location, weights_only)
        made = build_from_checkpoint(cls, checkpoint, hparams_file, kwargs)
        if cls.__qualname__ in checkpoint:
            made.load_state_dict(checkpoint[cls.__qualname__])
        return made

    def __str__(self) -> str:
        """List the sizes of the data sets that the loaders have now."""
        return "\n".join(f"{{{title} dataloader: {self._sizes(split)}}}" for split, title in _SPLITS.items())

    def _sizes(self, split: str) -> str:
        sizes = ["None"]
        with suppress(Exception), isolate_rng():  # there may be no loader (yet), and printing changes nothing
            sizes = [f"size={_size(loader)}" for loader in tree_leaves(getattr(self, f"{split}_dataloader")())]
        return sizes[0] if len(sizes) == 1 else " ; ".join(f"{n}. {size}" for n, size in enumerate(sizes, start=1))


def _missing_loader(owner: object, name: str) -> MisconfigurationException:
    fix = f"def {name}(self): return DataLoader(dataset, batch_size=...), or pass the loader to the Trainer's method"
    return MisconfigurationException(f"`{name}` is not defined on {type(owner).__qualname__}. Fix: {fix}.")


def _loaders(dataset: Any, shuffle: bool, options: dict[str, Any]) -> Any:
    if isinstance(dataset, list | tuple):
        return [_loaders(part, shuffle, options) for part in dataset]
    shuffle = shuffle and not isinstance(dataset, IterableDataset)
    return DataLoader(dataset, shuffle=shuffle, pin_memory=torch.accelerator.is_available(), **options)


def _size(loader: Any) -> int | str:
    dataset = getattr(loader, "dataset", None)
    return len(dataset) if isinstance(dataset, Sized) else "NA"
