"""The load: a client process that opens streams, reads them, and says when every event arrived.

Run as a process of its own (`python -m scripts.benchmarks.load`): one JSON order on standard input,
one JSON result on standard output. Reads raw sockets, so that the client is not what is measured.
"""

import asyncio
import json
import re
import resource
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

CLOCK = re.compile(rb'" ?(\d+\.\d{6})"')
DATA = b"data: "


class Reading:
    """One stream: when each of its events came, and how long it had been under way."""

    def __init__(self) -> None:
        self.opened_at = time.monotonic()
        self.times: list[float] = []
        self.delays: list[float] = []
        self.num_events = 0
        self.carry = self.tail = b""

    def feed(self, chunk: bytes) -> None:
        now = time.monotonic()
        num_events = (self.carry + chunk).count(DATA)
        self.carry = (self.carry + chunk)[1 - len(DATA) :]
        self.num_events += num_events
        self.times += [now] * num_events
        self.delays += [now - float(sent) for sent in CLOCK.findall(chunk)]
        self.tail = (self.tail + chunk)[-400:]


def completion(prompt: str | list[int], max_tokens: int, **fields: Any) -> dict[str, Any]:
    """A body for `/v1/completions`: greedy and streamed, of so many tokens; `fields` come on top."""
    body = {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True, "stream": True}
    return body | fields


async def read_stream(order: dict[str, Any], body: dict[str, Any], reading: Reading) -> None:
    url = urlsplit(order["url"])
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=1 << 20)
    text = json.dumps(body).encode()
    head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text)
    reading.opened_at = time.monotonic()
    try:
        while chunk := await reader.read(1 << 18):
            reading.feed(chunk)
    finally:
        writer.close()


async def follow(order: dict[str, Any]) -> dict[str, Any]:
    """Open `streams` bodies at once; stop at their ends, or when `hold_s` is over."""
    readings = [Reading() for _ in order["bodies"]]
    started = time.monotonic()
    tasks = [
        asyncio.create_task(read_stream(order, body, r))
        for body, r in zip(order["bodies"], readings, strict=True)
    ]
    if hold_s := order.get("hold_s"):
        await asyncio.sleep(hold_s)
        print("holding", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for task in tasks:
            task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "read_s": time.monotonic() - started,
        "errors": [repr(r) for r in results if isinstance(r, Exception)],
        "num_events": sum(r.num_events for r in readings),
        "itls": [b - a for r in readings for a, b in zip(r.times, r.times[1:], strict=False)],
        "ttfts": [r.times[0] - r.opened_at for r in readings if r.times],
        "delays": [d for r in readings for d in r.delays],
        "tails": [r.tail.decode("utf-8", "replace") for r in readings[:2]],
    }


def start(order: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a client process on an order; read its result with `result`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.benchmarks.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    return process


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Let a holding client go, wait for its end and return what it saw."""
    output, _ = process.communicate("\n")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    if found["errors"]:
        raise RuntimeError(f"the load failed: {found['errors'][:3]}")
    return found


def run(order: dict[str, Any]) -> dict[str, Any]:
    return result(start(order))


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(asyncio.run(follow(json.loads(sys.stdin.readline())))))
