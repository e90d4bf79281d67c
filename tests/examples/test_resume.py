from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "resume.py"


def test_no_sample_is_repeated_or_missed(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::UserWarning", str(SCRIPT)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 samples seen twice, 0 never; order as without the stop: True" in result.stdout
    assert result.stdout.endswith("weights the same, bit for bit: True\n")
