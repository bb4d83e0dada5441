"""The load of `scripts/bench sockets`: a client process with many websockets, told what to do line by line.

One JSON order a line on standard input, one JSON answer a line on standard output. Reads raw sockets, so
that the client is not what is measured; pings are answered.
"""

import asyncio
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import uvloop

CLOCK = re.compile(rb'"(message|content|token)":" ?(\d+\.\d{6})[ "]')
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# What the kernel takes for one who reads nothing.
NARROW_BYTES = 4_096


class Member(asyncio.Protocol):
    """One websocket: counts what comes, and how long it had been under way."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_open = self.loop.create_future()
        self.heard = asyncio.Event()
        self.num_texts = 0
        self.delays: dict[str, list[float]] = {}
        self.ending = b""
        self.close_code: int | None = None
        self._url = urlsplit(url)
        self._rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(upgrade(self._url.path + "?" + self._url.query))

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if not self.is_open.done():
            if b"\r\n\r\n" not in self._rest:
                return
            head, _, self._rest = self._rest.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 "), head
            self.is_open.set_result(None)
        self._rest = self._rest[self._take_frames(self._rest, time.monotonic()) :]

    def _take_frames(self, data: bytes, now: float) -> int:
        """Take what is whole; return where the rest begins."""
        place, end = 0, len(data)
        while end - place >= 2:
            start, size = place + 2, data[place + 1]
            if size >= 126:
                start += 2 if size == 126 else 8
                if end < start:
                    break
                size = int.from_bytes(data[place + 2 : start])
            if end < start + size:
                break
            self._take(data[place] & 15, data[start : start + size], now)
            place = start + size
        return place

    def _take(self, opcode: int, body: bytes, now: float) -> None:
        if opcode == TEXT:
            self.num_texts += 1
            for kind, sent in CLOCK.findall(body):
                self.delays.setdefault(kind.decode(), []).append(now - float(sent))
            if not self.ending or self.ending in body:
                self.heard.set()
        elif opcode == PING:
            self.transport.write(frame(body, PONG))
        elif opcode == CLOSE:
            self.close_code = int.from_bytes(body[:2])

    def say(self, text: str) -> None:
        self.transport.write(frame(text.encode()))


def upgrade(target: str) -> bytes:
    lines = ["Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    return "\r\n".join(
        [f"GET {target} HTTP/1.1", *lines, "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==", "", ""]
    ).encode()


def frame(body: bytes, opcode: int = TEXT) -> bytes:
    """As clients send it; masked with zeros, which leaves the body as it is."""
    size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2)
    return bytes([0x80 | opcode]) + size + bytes(4) + body


class Load:
    """What the orders do."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._members: list[Member] = []
        self._stuck: list[socket.socket] = []

    async def open(self, path: str, number: int, num_stuck: int = 0) -> None:
        """Open so many sockets, and so many more that read nothing but the handshake's answer."""
        parts, loop = urlsplit(self._url), asyncio.get_running_loop()
        assert parts.hostname and parts.port
        for _ in range(number):
            make = partial(Member, self._url + path)
            _, member = await loop.create_connection(make, parts.hostname, parts.port)
            await member.is_open
            self._members.append(member)
        for _ in range(num_stuck):
            stuck = socket.socket()
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
            stuck.connect((parts.hostname, parts.port))
            stuck.sendall(upgrade(path))
            self._stuck.append(stuck)

    async def say(self, text: str, ending: str = "") -> float:
        """Each says it once; return the seconds until each has heard an answer, or one with the ending."""
        began = time.monotonic()
        for member in self._members:
            member.ending = ending.encode()
            member.heard.clear()
            member.say(text)
        for member in self._members:
            await member.heard.wait()
        return time.monotonic() - began

    async def talk(self, every_s: float, run_s: float, padding: int) -> None:
        """One after the other asks something of `padding` bytes, with the time at its beginning."""
        ends = time.monotonic() + run_s
        turn = 0
        while (now := time.monotonic()) < ends:
            question = {"type": "user_message", "message": f"{now:.6f} " + "x" * padding, "max_tokens": 1}
            self._members[turn % len(self._members)].say(json.dumps(question))
            turn += 1
            await asyncio.sleep(every_s)

    async def result(self) -> dict[str, Any]:
        """What came so far; the counts begin anew."""
        kinds = {kind for member in self._members for kind in member.delays}
        found = {
            "num_texts": sum(member.num_texts for member in self._members),
            "num_closed": sum(member.close_code is not None for member in self._members),
            "delays": {k: [d for member in self._members for d in member.delays.get(k, [])] for k in kinds},
        }
        for member in self._members:
            member.num_texts, member.delays = 0, {}
        return found

    async def close(self) -> None:
        for each in [*(member.transport for member in self._members), *self._stuck]:
            each.close()
        self._members, self._stuck = [], []


class LoadProcess:
    """A load in a process of its own. Use as a context manager."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "scripts.benchmarks.socket_load", url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "LoadProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def do(self, order: str, **params: Any) -> Any:
        """Do it; return its answer. Raises when the load process has died."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([order, params]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


async def main(url: str) -> None:
    load = Load(url)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order, params = json.loads(line)
        print(json.dumps(await getattr(load, order)(**params)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(main(sys.argv[1]))
