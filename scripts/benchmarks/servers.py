"""Servers under measurement: ours and the peer, each a process of its own on a free port."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from tests.service_process import ServiceProcess, wait_for


class Server(NamedTuple):
    """Where it listens, and the process whose CPU and memory count."""

    url: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """CPU seconds of the serving process so far, its children not counted."""
        times = self.process.cpu_times()
        return times.user + times.system

    def memory_bytes(self) -> int:
        return self.process.memory_info().rss


@contextmanager
def sluice(*flags: str) -> Iterator[Server]:
    """The service with these flags, ready."""
    with tempfile.TemporaryDirectory() as folder, ServiceProcess(Path(folder), *flags) as service:
        yield Server(service.url, psutil.Process(service.process.pid))


@contextmanager
def echo(variant: str, *flags: str) -> Iterator[Server]:
    """The service over one echo worker of that variant (workers/echo/engine.py)."""
    settings = str(Path(__file__).with_name("echo.toml"))
    with sluice("--config", settings, "--set", f"models.echo.path={variant}", *flags) as server:
        yield server


@contextmanager
def peer(steps_per_s: int) -> Iterator[Server]:
    """FastAPI with sse-starlette on uvicorn, emitting chunks from memory; 0: as fast as it can."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "scripts.benchmarks.peer", str(port), str(steps_per_s)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(url))
        yield Server(url, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/openapi.json").status_code == 200
    except httpx.TransportError:
        return False
