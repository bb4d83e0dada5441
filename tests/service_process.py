"""A real `python -m service`, started and ended by its own process id."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

ROOT = Path(__file__).parent.parent
START_TIMEOUT_S = 120.0
POLL_S = 0.02


class ServiceProcess:
    """Runs the service on a free port of 127.0.0.1, its log in `folder`. Use as a context manager."""

    def __init__(self, folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> None:
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
        self.url = self.wait_for_log("listening")["url"]
        if wait_ready:
            self.wait_ready()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 40.0) -> int:
        """Signal the service, wait for its end and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
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
        wait_for(lambda: httpx.get(f"{self.url}/readyz").status_code == 200, timeout_s, self.log_path.read_text)

    def metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = httpx.get(f"{self.url}/metrics").json()
        return metrics

    def worker_pids(self) -> Sequence[int]:
        return [worker["pid"] for worker in self.metrics()["workers"]]


def wait_for(condition: Any, timeout_s: float = 20.0, explain: Any = lambda: "") -> Any:
    """Poll until `condition()` is truthy and return it; fail with `explain()` when it never is."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {explain()}"
        time.sleep(POLL_S)
    return value
