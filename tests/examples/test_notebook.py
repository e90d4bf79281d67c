"""The notebooks of the documentation: their code runs, and prints what is stored; a real kernel shows bars and stops."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def printed(cell: dict[str, Any]) -> list[str]:
    """What the stored cell printed itself: bars and tables are displayed, not printed."""
    streams = [output["text"] for output in cell["outputs"] if output["output_type"] == "stream"]
    return "".join(line for text in streams for line in text).splitlines()


def test_there_is_a_notebook() -> None:
    assert [path.name for path in NOTEBOOKS] == ["quickstart.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_code_prints_what_the_notebook_shows(path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    claims = 0
    for number, cell in enumerate(code_cells(path)):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile("".join(cell["source"]), f"{path.name}[{number}]", "exec"), namespace)
        lines = output.getvalue().splitlines()
        for claim in printed(cell):
            assert claim in lines, f"cell {number} shows {claim!r} and prints {lines}"
            del lines[: lines.index(claim) + 1]
            claims += 1
    assert claims > 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_stored_outputs_are_those_of_a_clean_run(path: Path) -> None:
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    displayed = [output["data"] for output in outputs if output["output_type"] == "display_data"]
    assert any("<progress" in "".join(data.get("text/html", [])) for data in displayed)


LOOP = """
import warnings
import torch
import leyden as pl

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        if batch_idx == 3:
            print("third batch", flush=True)
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)

data = torch.utils.data.DataLoader(torch.ones(1000, 2))
model, trainer = Model(), pl.Trainer(max_epochs=-1, accelerator="cpu", logger=False, default_root_dir=ROOT)
trainer.fit(model, data)
"""


def test_interrupting_a_kernel_gives_the_prompt_back(tmp_path: Path) -> None:
    """The square button of a notebook: the run is saved, ``fit`` returns, and the next cell runs."""
    manager, client = start_new_kernel(kernel_name="python3", extra_arguments=["--log-level=CRITICAL"])
    try:
        client.execute(LOOP.replace("ROOT", repr(str(tmp_path))))
        while "third batch" not in (client.get_iopub_msg(timeout=120)["content"].get("text") or ""):
            pass
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)["content"]
        assert reply["status"] == "ok", reply
        client.execute("print('prompt', trainer.interrupted, trainer.global_step > 0)")
        text = ""
        while "prompt" not in text:
            text = client.get_iopub_msg(timeout=60)["content"].get("text") or ""
        assert text == "prompt True True\n"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert (tmp_path / "checkpoints" / "interrupted.ckpt").exists()
