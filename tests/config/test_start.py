"""`python -m service` with settings that will not do: one line, exit status 2, no traceback."""

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.service_process import ROOT


def start(*flags: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *flags]
    env = os.environ | environ
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=200
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("sluice: ")
    for word in words:
        assert word in done.stderr


def test_bad_value(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[limits]\nmax_choices = 1000\n")
    assert_refused(start("--config", str(path)), str(path), "limits.max_choices", "1000", "128")


def test_unknown_key_in_the_environment() -> None:
    done = start(SLUICE__HTTP__PROT="1")
    assert_refused(done, "environment SLUICE__HTTP__PROT", "http.prot", "http.port")


def test_port_in_use() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(start("--port", port), f"127.0.0.1:{port}", "in use")


@pytest.mark.parametrize("flag", ["--no-such-flag", "--port"])
def test_unknown_flag(flag: str) -> None:
    done = start(flag)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_print_config_shows_and_leaves() -> None:
    done = start("--print-config", "--port", "4321", SLUICE__AUTH__KEYS='{ alice = "sk-alice" }')
    assert (done.returncode, done.stderr) == (0, "")
    assert "http.port = 4321  # flag --port" in done.stdout
    assert "auth.keys = ***  # environment SLUICE__AUTH__KEYS" in done.stdout
    assert "sk-alice" not in done.stdout


def test_a_store_that_will_not_open(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("no database " * 100)
    done = start("--port", "0", "--set", "store.kind=sqlite", "--set", f"store.path={path}")
    assert_refused(done, "store.path", str(path), "not a database")
