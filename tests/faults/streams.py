"""Long streams to break, and what is asked of the worker that makes them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess

WORDS = " ".join(f"w{number}" for number in range(200))
ENDLESS = {"max_tokens": 1_000_000, "ignore_eos": True, "stream": True}


@contextmanager
def opened(
    service: ServiceProcess, path: str, body: dict[str, Any], **headers: str
) -> Iterator[httpx.Response]:
    """A stream whose response has begun, on a connection of its own."""
    url = f"{service.url}{path}"
    with httpx.stream("POST", url, json=body, headers=headers, timeout=REQUEST_TIMEOUT_S) as answer:
        assert answer.status_code == 200, answer.read()
        yield answer


def worker(service: ServiceProcess, model: str) -> dict[str, Any]:
    found: dict[str, Any] = next(w for w in service.metrics()["workers"] if w["model"] == model)
    return found


def kill_worker(service: ServiceProcess, model: str, number: int = signal.SIGKILL) -> int:
    pid: int = worker(service, model)["pid"]
    signal_worker(pid, number)
    return pid


def signal_worker(pid: int, number: int) -> None:
    """One that has gone by itself meanwhile is none to be told."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_tokens(service: ServiceProcess, num_streams: int = 1, num_tokens: int = 2) -> None:
    """Wait until so many streams are open and each has tokens."""
    service.wait_for_metrics(
        lambda m: sum(s["tokens"] >= num_tokens for s in m["current_streams"]) >= num_streams
    )
