"""Servers under measurement: ours and the peers, each a process of its own on a free port."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from tests.service_process import START_TIMEOUT_S, ServiceProcess, wait_for


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


class Paused(NamedTuple):
    """A server that runs only inside its `with`, so that what it does when idle costs the others nothing."""

    url: str
    process: subprocess.Popen[bytes]

    def __enter__(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGSTOP)


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
    port = _free_port()
    command = [sys.executable, "-m", "scripts.benchmarks.peer", str(port), str(steps_per_s)]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(f"{url}/openapi.json"))
        yield Server(url, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


def transformers_server(python: str, model: str, dtype: str) -> AbstractContextManager[Paused] | None:
    """`transformers serve` with continuous batching by that Python; None where it cannot serve."""
    check = "from transformers.utils.import_utils import is_serve_available as f; raise SystemExit(not f())"
    if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode:
        return None
    flags = ["--continuous-batching", "--cb-num-blocks", "64", "--cb-max-batch-tokens", "512"]
    flags += ["--device", "cpu", "--dtype", dtype]
    return _foreign([python, "-m", "transformers.cli.transformers", "serve", model, *flags])


def llama_server(path: str, model: Path) -> AbstractContextManager[Paused]:
    """llama.cpp's server with a place for each of 32 streams."""
    flags = ["-t", "1", "-tb", "1", "-c", "16384", "-np", "32", "--jinja"]
    return _foreign([path, "-m", str(model), *flags])


@contextmanager
def _foreign(command: list[str]) -> Iterator[Paused]:
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: _answers(f"{url}/health") or process.poll() is not None, START_TIMEOUT_S)
            if process.poll() is not None:
                log.seek(0)
                raise RuntimeError(log.read()[-2000:].decode())
            process.send_signal(signal.SIGSTOP)
            yield Paused(url, process)
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
