from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from leyden.legacy.utilities.saving import (
    convert,
    get_filesystem,
    load_hparams_from_tags_csv,
    load_hparams_from_yaml,
    save_hparams_to_tags_csv,
    save_hparams_to_yaml,
    update_hparams,
)

HPARAMS = {"lr": 0.1, "layers": [2, 3], "name": "net", "nested": {"a": None}}


@pytest.mark.parametrize("given", [HPARAMS, Namespace(**HPARAMS)])
def test_yaml_there_and_back(tmp_path: Path, given: Any) -> None:
    save_hparams_to_yaml(tmp_path / "h.yaml", given)
    assert load_hparams_from_yaml(tmp_path / "h.yaml") == HPARAMS


def test_yaml_holds_plain_data(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"\['act'\] are left out"):
        save_hparams_to_yaml(tmp_path / "h.yaml", {"lr": 0.1, "act": nn.ReLU})
    assert load_hparams_from_yaml(tmp_path / "h.yaml") == {"lr": 0.1}


def test_tuples_of_other_writers_are_read_and_objects_are_not(tmp_path: Path) -> None:
    path = tmp_path / "h.yaml"
    path.write_text("a: !!python/tuple\n- 1\n- 2\n")
    assert load_hparams_from_yaml(path) == {"a": (1, 2)}
    path.write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(Exception, match="could not determine a constructor"):
        load_hparams_from_yaml(path)


def test_csv_there_and_back(tmp_path: Path) -> None:
    save_hparams_to_tags_csv(tmp_path / "tags.csv", {"lr": 0.1, "name": "net", "layers": [2, 3]})
    assert (tmp_path / "tags.csv").read_text().splitlines()[0] == "key,value"
    assert load_hparams_from_tags_csv(tmp_path / "tags.csv") == {"lr": 0.1, "name": "net", "layers": [2, 3]}


@pytest.mark.parametrize("load", [load_hparams_from_yaml, load_hparams_from_tags_csv])
def test_a_missing_file_gives_nothing_and_a_warning(tmp_path: Path, load: Any) -> None:
    with pytest.warns(UserWarning, match="There is no file"):
        assert load(tmp_path / "none") == {}


@pytest.mark.parametrize("save", [save_hparams_to_yaml, save_hparams_to_tags_csv])
def test_a_missing_folder_and_a_wrong_type_are_errors(tmp_path: Path, save: Any) -> None:
    with pytest.raises(RuntimeError, match="There is no folder"):
        save(tmp_path / "none" / "h", {})
    with pytest.raises(TypeError, match="`hparams` got"):
        save(tmp_path / "h", [1])


def test_texts_become_values() -> None:
    assert [convert(text) for text in ("1", "0.5", "[1]", "None", "adam")] == [1, 0.5, [1], None, "adam"]


def test_updates_go_into_nested_hparams() -> None:
    hparams: dict[str, Any] = {"a": 1, "b": {"c": 2}}
    update_hparams(hparams, {"b": {"d": 3}, "e": {"f": 4}})
    assert hparams == {"a": 1, "b": {"c": 2, "d": 3}, "e": {"f": 4}}


def test_the_file_system_of_a_path_and_of_a_url(tmp_path: Path) -> None:
    assert get_filesystem(tmp_path).isdir(str(tmp_path))
    assert type(get_filesystem("memory://folder")).__name__ == "MemoryFileSystem"
    assert get_filesystem(tmp_path, auto_mkdir=True).auto_mkdir
