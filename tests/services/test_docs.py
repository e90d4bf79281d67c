"""The blocks of the guide that need a service's package run too, after those that need none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "loggers.md"
FENCE = re.compile(r"^```(python|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.filterwarnings("default")
def test_the_guide_runs(tmp_path: Path) -> None:
    text, names = GUIDE.read_text(encoding="utf-8"), {"__name__": "__main__"}
    kinds = []
    for match in FENCE.finditer(text):
        kinds.append(match.group(1))
        line = text.count("\n", 0, match.start(2))
        exec(compile("\n" * line + match.group(2), str(GUIDE), "exec"), names)
    assert kinds.count("py") == 4
    assert list(tmp_path.glob("wandb/offline-run-*"))
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()
    assert list(tmp_path.glob("comet/*.zip"))
