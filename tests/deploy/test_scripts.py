"""The scripts that set up, with a Python that only writes down what it is asked to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service_process import ROOT

PYTHON = """#!/bin/sh
case "$*" in
*version_info*) exit %(is_old)d ;;
-V) echo "Python 3.8.1" ;;
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*) echo "$@" >> calls ;;
esac
"""


class Clone:
    """What the scripts see of a fresh clone, in `folder`; `calls` are those of its environment's Python."""

    def __init__(self, folder: Path, *, is_old: bool = False) -> None:
        self.folder = folder
        for name in (
            "setup.cfg",
            "pyproject.toml",
            "config/constraints.txt",
            "scripts/environment",
            "scripts/serve",
        ):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        self._python = folder / "python"
        self._python.write_text(PYTHON % {"is_old": is_old})
        self._python.chmod(0o755)

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PYTHON": str(self._python)}
        command = [self.folder / "scripts" / script, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_second_start_installs_nothing(clone: Clone) -> None:
    assert clone.run("serve", "--port", "0").returncode == 0
    assert clone.run("serve", "--port", "1").returncode == 0
    install, *starts = clone.calls()
    assert "pip install" in install
    assert install.endswith("--editable . --constraint config/constraints.txt")
    assert starts == ["-m service --port 0", "-m service --port 1"]


@pytest.mark.parametrize("name", ["setup.cfg", "config/constraints.txt"])
def test_changed_requirements_are_installed(clone: Clone, name: str) -> None:
    clone.run("environment")
    with (clone.folder / name).open("a") as file:
        file.write("# changed\n")
    clone.run("environment")
    assert len(clone.calls()) == 2


def test_each_set_of_extras_is_installed_once(clone: Clone) -> None:
    for extras in ("test", "check", "test", "check"):
        assert clone.run("environment", extras).returncode == 0
    assert [".[test]" in call for call in clone.calls()] == [True, False]


def test_old_python_is_refused_in_words(tmp_path: Path) -> None:
    result = Clone(tmp_path, is_old=True).run("serve")
    assert result.returncode == 1
    assert "needs Python 3.11 or newer" in result.stderr
    assert "Python 3.8.1" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_every_requirement_is_pinned() -> None:
    """And no line names an index, a path or a build for one kind of machine."""
    lines = (ROOT / "config" / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(pin.count("==") == 1 and "/" not in pin and "+" not in pin for pin in pins)
    assert "torch==2.13.0" in pins
