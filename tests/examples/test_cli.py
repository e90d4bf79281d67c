from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_configuration_is_run_and_saved(tmp_path: Path) -> None:
    script, config = str(EXAMPLES / "cli.py"), str(EXAMPLES / "cli.yaml")
    command = [sys.executable, "-W", "error::UserWarning", script, "fit", "--config", config]
    changes = ["--trainer.max_epochs=2", "--data.points=64", "--trainer.log_every_n_steps=1"]
    result = subprocess.run(
        [*command, *changes], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    saved = next(tmp_path.glob("lightning_logs/version_0/config.yaml")).read_text()
    assert "class_path: torch.nn.Tanh" in saved and "points: 64" in saved and "max_epochs: 2" in saved
