"""config/sluice.service, and what the service says on the notify socket."""

import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Self

import httpx
import pytest

from config.command_line import load
from service.serve import SHUTDOWN_TIMEOUT_S
from tests.requirements import need
from tests.service_process import REQUEST_TIMEOUT_S, ROOT, ServiceProcess

UNIT = ROOT / "config" / "sluice.service"
# systemd's own scale, in tenths, from 0 (safe) to 100. PrivateNetwork and its like cannot be had.
MAX_EXPOSURE = 20
WATCHDOG_S = 0.4
RECEIVE_TIMEOUT_S = 60.0


class NotifySocket:
    """Plays systemd: what came, and when (seconds of the monotonic clock). Use as a context manager."""

    def __init__(self) -> None:
        # Not the test's own folder: the path of a socket may have 107 characters.
        self._folder = tempfile.TemporaryDirectory()
        self.path = f"{self._folder.name}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(RECEIVE_TIMEOUT_S)
        self.received: list[tuple[float, dict[str, str]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._folder.cleanup()

    def receive(self) -> dict[str, str]:
        lines = self._socket.recv(4096).decode().splitlines()
        states = dict(line.split("=", 1) for line in lines)
        self.received.append((time.monotonic(), states))
        return states

    def wait_for(self, name: str) -> str:
        while name not in (states := self.receive()):
            pass
        return states[name]

    def is_even(self, name: str, interval_s: float) -> bool:
        """Whether the last eight came at about this interval; a busy machine may be long about it."""
        gaps = [later - earlier for earlier, later in pairwise(self.times(name)[-8:])]
        return len(gaps) == 7 and statistics.median(gaps) == pytest.approx(interval_s, rel=0.25)

    def times(self, name: str) -> list[float]:
        return [moment for moment, states in self.received if name in states]


@pytest.fixture
def notify() -> Iterator[NotifySocket]:
    with NotifySocket() as notify:
        yield notify


@contextmanager
def service_under(notify: NotifySocket, folder: Path, *flags: str) -> Iterator[ServiceProcess]:
    """A service as systemd starts it; it may not be ready yet. At the end it leaves with 0."""
    env = {"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1_000_000))}
    service = ServiceProcess(folder, *flags, env=env).start(wait_ready=False)
    try:
        yield service
    finally:
        assert service.stop() == 0


def tick(service: ServiceProcess, num_tokens: int) -> AbstractContextManager[httpx.Response]:
    body = {"model": "steady", "prompt": " ".join(["tick"] * num_tokens), "max_tokens": num_tokens}
    return httpx.stream("POST", f"{service.url}/generate_stream", json=body, timeout=REQUEST_TIMEOUT_S)


def test_unit_is_valid(tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    unit = tmp_path / "sluice.service"
    unit.write_text(UNIT.read_text().replace("/opt/sluice/.venv/bin/python", sys.executable))
    result = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    # Other units of the machine may have their own faults.
    assert not [line for line in result.stderr.splitlines() if "sluice" in line]
    assert result.returncode == 0, result.stderr


def test_unit_is_hardened() -> None:
    command = [need("systemd-analyze"), "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", str(UNIT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_unit_leaves_time_to_load_and_to_drain() -> None:
    settings = load([], {})

    def number(name: str) -> float:
        match = re.search(rf"^{name}=(\d+)$", UNIT.read_text(), re.MULTILINE)
        assert match, name
        return float(match[1])

    leaving_s = settings.http.drain_timeout_s + SHUTDOWN_TIMEOUT_S + settings.workers.stop_timeout_s
    assert number("TimeoutStopSec") > leaving_s
    assert number("TimeoutStartSec") > settings.workers.load_timeout_s
    assert number("LimitNOFILE") > settings.sockets.max_sockets


def test_ready_comes_once_it_serves(notify: NotifySocket, tmp_path: Path, paced_config: str) -> None:
    with service_under(notify, tmp_path, "--config", paced_config) as service:
        notify.wait_for("READY")
        assert service.http.get("/readyz").status_code == 200
        while not notify.is_even("WATCHDOG", WATCHDOG_S / 2):
            notify.wait_for("WATCHDOG")
        service.process.send_signal(signal.SIGTERM)
        notify.wait_for("STOPPING")
    assert len(notify.times("READY")) == 1


def test_no_ready_without_a_model(notify: NotifySocket, tmp_path: Path) -> None:
    flags = ("--model", "nonsense", "--set", "model_defaults.engine=echo")
    with service_under(notify, tmp_path, *flags) as service:
        service.wait_for_log("worker lost")
        for _ in range(3):
            notify.wait_for("WATCHDOG")
        answer = service.http.get("/readyz")
    assert (answer.status_code, notify.times("READY")) == (503, [])
    assert "nonsense" in answer.json()["reasons"][0]


def test_running_stream_ends_whole_during_the_drain(
    notify: NotifySocket, tmp_path: Path, paced_config: str
) -> None:
    with service_under(notify, tmp_path, "--config", paced_config) as service:
        notify.wait_for("READY")
        with tick(service, 100) as answer:
            lines = answer.iter_lines()
            assert "event: token" in lines
            service.process.send_signal(signal.SIGTERM)
            notify.wait_for("STOPPING")
            refused = service.http.post("/generate_stream", json={"prompt": "too late"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "drained")
            text = "\n".join(lines)
    assert text.count("event: token") == 99
    assert '"finish_reason":"stop"' in text


def test_stream_that_outlasts_the_drain_ends_as_drained(
    notify: NotifySocket, tmp_path: Path, paced_config: str
) -> None:
    flags = ("--config", paced_config, "--set", "http.drain_timeout_s=0.2")
    with service_under(notify, tmp_path, *flags) as service:
        notify.wait_for("READY")
        with tick(service, 1200) as answer:
            lines = answer.iter_lines()
            assert "event: token" in lines
            service.process.send_signal(signal.SIGTERM)
            text = "\n".join(lines)
    assert 0 < text.count("event: token") < 1200
    assert '"finish_reason":"drained"' in text


def test_lost_notify_socket_changes_nothing(tmp_path: Path, paced_config: str) -> None:
    with ExitStack() as stack:
        notify = NotifySocket()
        with notify:
            service = stack.enter_context(service_under(notify, tmp_path, "--config", paced_config))
            notify.wait_for("READY")
        with tick(service, 20) as answer:
            assert answer.read().count(b"event: token") == 20
