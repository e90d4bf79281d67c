"""The public names: what is listed is there, what is there is listed, and the list changes on purpose only."""

import importlib

import pytest

EXPORTS = {
    "leyden": [
        "Callback", "CombinedLoader", "LightningDataModule", "LightningModule", "Supervised", "Trainer", "__version__",
        "callbacks", "loggers", "seed_everything",
    ],
    "leyden.callbacks": [
        "Callback", "Checkpoint", "EarlyStopping", "ModelCheckpoint", "ModelSummary",
        "PlainProgress", "ProgressBar", "RichModelSummary", "RichProgressBar", "RichProgressBarTheme", "Timer",
    ],
    "leyden.loggers": ["CSVLogger", "DummyLogger", "Logger"],
}  # fmt: skip


@pytest.mark.parametrize("package", sorted(EXPORTS))
def test_exported_names(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(EXPORTS[package])
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", sorted(EXPORTS))
def test_a_name_that_is_not_there_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError):
        _ = importlib.import_module(package).NoSuchName
