"""A real `python -m service`, started and ended by its own process id."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import psutil

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
START_TIMEOUT_S = 270.0
# Long, as all limits here: one that is not hit costs nothing, and the machine may be busy with others.
REQUEST_TIMEOUT_S = 120.0
WAIT_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 120.0
POLL_S = 0.02
# Below those that systems give to whoever asks for any, such as clients and services with port 0.
FREE_PORTS = range(12_000, 30_000)


class ServiceProcess:
    """Runs the service on a free port of 127.0.0.1, its log in `folder`. Use as a context manager.

    `config` is the text of its settings file, which is put there too; by default it has none of its own.
    `http` is a client of it, for requests one after another.
    """

    def __init__(
        self, folder: Path, *flags: str, config: str = "", env: Mapping[str, str] | None = None
    ) -> None:
        if config:
            path = folder / "sluice.toml"
            path.write_text(config)
            flags = ("--config", str(path), *flags)
        self.log_path = folder / "service.log"
        self._command = [sys.executable, "-m", "service", "--port", "0", "--set", "log.format=json", *flags]
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE__")}
        self._env |= dict(env or {})
        self.url = ""

    def start(self, *, wait_ready: bool = True) -> Self:
        """Start and wait until it listens, and by default until every model is ready."""
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._env, stdout=subprocess.PIPE, stderr=log
            )
        try:
            self.url = self.wait_for_log("listening")["url"]
            self.http = httpx.Client(base_url=self.url, timeout=REQUEST_TIMEOUT_S)
            if wait_ready:
                self.wait_ready()
        except BaseException:
            # A socket left open would fail whichever test the garbage is collected in.
            if self.url:
                self.http.close()
            self.process.kill()
            self.process.communicate()
            raise
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Signal the service, wait for its end and return its exit status."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait_end(timeout_s)

    def wait_end(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the end of a service that has been told to leave; return its exit status."""
        try:
            self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode

    def log_lines(self) -> list[dict[str, Any]]:
        """The log's lines so far. A line that is no JSON stands under `message`."""
        lines = []
        for line in self.log_path.read_text("utf-8", "replace").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"message": line})
        return lines

    def wait_for_log(self, message: str, timeout_s: float = START_TIMEOUT_S) -> dict[str, Any]:
        """Wait for a line whose message begins so, and return it."""

        def find() -> dict[str, Any] | None:
            return next((line for line in self.log_lines() if line["message"].startswith(message)), None)

        return wait_for(find, timeout_s, lambda: f"no {message!r} in the log:\n{self.log_path.read_text()}")

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        wait_for(lambda: self.http.get("/readyz").status_code == 200, timeout_s, self.log_path.read_text)

    def metrics(self, key: str | None = None) -> dict[str, Any]:
        answer = self.http.get("/metrics", headers=bearer(key))
        metrics: dict[str, Any] = answer.raise_for_status().json()
        return metrics

    def wait_for_metrics(self, condition: Callable[[dict[str, Any]], Any], key: str | None = None) -> Any:
        """Wait until `condition(metrics)` is truthy and return what it returned."""
        return wait_for(lambda: condition(self.metrics(key)), explain=lambda: self.metrics(key))

    def wait_idle(self, key: str | None = None) -> None:
        """Wait until no stream is open and no worker has a job."""
        self.wait_for_metrics(
            lambda m: not (m["active_streams"] or any(worker["jobs"] for worker in m["workers"])), key
        )

    def check_serves(self, key: str | None = None) -> None:
        """Nothing is left running, and one more request is served."""
        self.wait_idle(key)
        answer = self.http.post("/stream_text", json={"prompt": "still here"}, headers=bearer(key))
        assert answer.status_code == 200, answer.text
        assert '"done":true' in answer.text

    def worker_pids(self, key: str | None = None) -> Sequence[int]:
        return [worker["pid"] for worker in self.metrics(key)["workers"]]

    def children(self) -> list[psutil.Process]:
        """All processes that the service has started, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)


def bearer(key: str | None) -> dict[str, str]:
    """The headers of a caller; none for anyone."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def wait_for(
    condition: Callable[[], T | None],
    timeout_s: float = WAIT_TIMEOUT_S,
    explain: Callable[[], object] = lambda: "",
) -> T:
    """Poll until `condition()` is truthy and return it; fail with `explain()` when it never is."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {explain()}"
        time.sleep(POLL_S)
    return value


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, and which stays free until somebody asks for this one."""
    while True:
        port = random.choice(FREE_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
