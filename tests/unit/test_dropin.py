from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

DROPIN = ["-m", "leyden.dropin"]

WHO = """
import importlib.metadata, lightning.pytorch, pytorch_lightning as pl
def who():
    return pl.__version__, importlib.metadata.version("lightning"), pl.Callback.__module__
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables under which a package that says it is Lightning is installed."""
    site = tmp_path / "site"
    for root in ("lightning", "pytorch_lightning"):
        (site / root).mkdir(parents=True)
        (site / root / "__init__.py").write_text("__version__ = 'installed'")
    kept = {name: value for name, value in os.environ.items() if name != "LEYDEN_DROPIN"}
    return kept | {"PYTHONPATH": str(site)}


def write(path: Path, text: str) -> Path:
    path.write_text(dedent(text))
    return path


def run(*command: object, environment: dict[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def output(*command: object, environment: dict[str, str], cwd: Path | None = None) -> str:
    result = run(*command, environment=environment, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_script_sees_a_lightning_of_today(tmp_path: Path, environment: dict[str, str]) -> None:
    script = write(tmp_path / "script.py", "import pytorch_lightning as pl\nprint(pl.__version__)")
    assert output(script, environment=environment) == "installed\n"
    assert output(*DROPIN, script, environment=environment) == "2.6.0\n"


def test_a_script_runs_as_it_would_directly(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "beside.py").write_text("")
    script = write(
        tmp_path / "script.py",
        """
        import sys, beside
        print(sys.argv, __name__, __file__, __spec__, sys.path, sys.flags.optimize, sorted(vars()))
        def fail():
            raise ValueError("mine")
        fail()
        """,
    )
    command = ["-O", "-W", "ignore", *DROPIN, script, "--flag", "-m", "value"]
    direct = run("-O", "-W", "ignore", script, "--flag", "-m", "value", environment=environment)
    ours = run(*command, environment=environment)
    assert (ours.returncode, ours.stdout, ours.stderr) == (direct.returncode, direct.stdout, direct.stderr)
    assert "ValueError: mine" in ours.stderr


def test_a_module_runs_as_it_would_directly(tmp_path: Path, environment: dict[str, str]) -> None:
    write(
        tmp_path / "program.py",
        "import sys, lightning\nprint(lightning.__version__, __name__, __spec__.name, sys.argv)",
    )
    printed = output(*DROPIN, "-m", "program", "a", environment=environment, cwd=tmp_path)
    assert printed == f"2.6.0 __main__ program {[str(tmp_path / 'program.py'), 'a']}\n"


def test_exit_codes_and_missing_scripts_are_pythons_own(tmp_path: Path, environment: dict[str, str]) -> None:
    script = write(tmp_path / "script.py", "raise SystemExit(7)")
    assert run(*DROPIN, script, environment=environment).returncode == 7
    missing = run(*DROPIN, tmp_path / "none.py", environment=environment)
    assert missing.returncode == 2
    assert "can't open file" in missing.stderr


def test_without_a_script_it_shows_its_usage(environment: dict[str, str]) -> None:
    assert run(*DROPIN, environment=environment).returncode == 2
    assert "usage: python -m leyden.dropin SCRIPT" in output(*DROPIN, "--help", environment=environment)


def test_an_isolated_interpreter_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    result = run("-E", *DROPIN, "script.py", environment=environment)
    assert result.returncode == 2
    assert "PYTHONPATH" in result.stderr


def test_roots_are_distinct_modules_that_share_their_classes(tmp_path: Path, environment: dict[str, str]) -> None:
    script = write(
        tmp_path / "script.py",
        """
        import importlib.metadata as metadata, pydoc
        import lightning, lightning.fabric, lightning.pytorch, lightning_fabric, pytorch_lightning
        from lightning.pytorch.callbacks import Callback
        from pytorch_lightning import *
        roots = [lightning, lightning.pytorch, pytorch_lightning]
        assert len({id(root) for root in roots}) == 3
        assert all(root.Callback is Callback for root in roots)
        assert pydoc.locate("lightning.pytorch.callbacks.Callback") is Callback
        assert lightning_fabric is not lightning.fabric
        assert pytorch_lightning.callbacks.Callback is Callback and not hasattr(pytorch_lightning, "nothing")
        for name in ("lightning", "pytorch-lightning", "pytorch_lightning", "lightning-fabric"):
            assert metadata.version(name) == "2.6.0"
        assert {"lightning", "torch"} <= {found.metadata["Name"] for found in metadata.distributions()}
        assert LightningModule is lightning.LightningModule
        """,
    )
    output(*DROPIN, script, environment=environment)


@pytest.mark.parametrize(
    "line", ["from pytorch_lightning.callbacks import EarlyStoping", "import pytorch_lightning.calbacks"]
)
def test_a_missing_name_is_an_import_error_that_helps(tmp_path: Path, environment: dict[str, str], line: str) -> None:
    result = run(*DROPIN, write(tmp_path / "script.py", line), environment=environment)
    assert result.returncode == 1
    assert "is not in Leyden, which stands in for Lightning" in result.stderr
    assert "Did you mean" in result.stderr


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_processes_of_multiprocessing_are_in_it(tmp_path: Path, environment: dict[str, str], method: str) -> None:
    if method not in __import__("multiprocessing").get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    script = write(
        tmp_path / "script.py",
        WHO
        + dedent(f"""
        import multiprocessing
        if __name__ == "__main__":
            with multiprocessing.get_context("{method}").Pool(1) as pool:
                print(pool.apply(who) == who(), who()[2])
        """),
    )
    assert output(*DROPIN, script, environment=environment) == "True leyden.core.callback\n"


def test_a_program_that_starts_itself_again_is_in_it(tmp_path: Path, environment: dict[str, str]) -> None:
    script = write(
        tmp_path / "script.py",
        WHO
        + dedent("""
        import subprocess, sys
        print(who())
        if len(sys.argv) == 1:
            sys.stdout.flush()
            subprocess.run([sys.executable, __file__, "child"], check=True)
        """),
    )
    parent, child = output(*DROPIN, script, environment=environment).splitlines()
    assert parent == child
    assert "2.6.0" in child


def test_importing_it_enters_it_with_the_children(tmp_path: Path, environment: dict[str, str]) -> None:
    script = write(
        tmp_path / "script.py",
        """
        import subprocess, sys
        import leyden.dropin
        import lightning
        print(lightning.__version__, flush=True)
        subprocess.run([sys.executable, "-c", "import lightning; print(lightning.__version__)"], check=True)
        """,
    )
    assert output(script, environment=environment) == "2.6.0\n2.6.0\n"


def test_it_refuses_to_enter_beside_the_real_package(tmp_path: Path, environment: dict[str, str]) -> None:
    script = write(tmp_path / "script.py", "import lightning\nimport leyden.dropin")
    result = run(script, environment=environment)
    assert result.returncode == 1
    assert "ImportError: The drop-in came too late: `lightning` is loaded already" in result.stderr


def test_importing_leyden_alone_does_not_shadow_anything(tmp_path: Path, environment: dict[str, str]) -> None:
    script = write(
        tmp_path / "script.py", "import leyden, leyden.legacy.alias, lightning\nprint(lightning.__version__)"
    )
    assert output(script, environment=environment) == "installed\n"


def test_a_test_suite_runs_in_it(tmp_path: Path, environment: dict[str, str]) -> None:
    write(tmp_path / "test_it.py", "import lightning\ndef test_version():\n    assert lightning.__version__ == '2.6.0'")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    assert run(*command, environment=environment, cwd=tmp_path).returncode == 1
    assert "1 passed" in output(*command, "-p", "leyden.dropin", environment=environment, cwd=tmp_path)
