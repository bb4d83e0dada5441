"""Websockets for tests: aiohttp's client, and a bare one that sends what no client library will."""

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, Self

from aiohttp import ClientWebSocketResponse, WSMsgType

from tests.contract.raw import connect

# Long: a limit that is not hit costs nothing.
TIMEOUT_S = 120
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "x3JJHMbDL1EzLkh9GBhXDw=="
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


async def receive(ws: ClientWebSocketResponse) -> dict[str, Any]:
    """The next message, a JSON object."""
    message = await ws.receive(TIMEOUT_S)
    assert message.type is WSMsgType.TEXT, message
    told: dict[str, Any] = json.loads(message.data)
    return told


async def receive_until(ws: ClientWebSocketResponse, *kinds: str) -> list[dict[str, Any]]:
    """All messages up to one of these types."""
    told = [await receive(ws)]
    while told[-1]["type"] not in kinds:
        told.append(await receive(ws))
    return told


async def closed_with(ws: ClientWebSocketResponse) -> int | None:
    """The code that the socket is closed with; what comes before is of no interest."""
    while (await ws.receive(TIMEOUT_S)).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
        pass
    return ws.close_code


def error_of(told: dict[str, Any]) -> dict[str, Any]:
    """The contract's error object in a message of type `error`."""
    assert told["type"] == "error", told
    assert {"message", "type", "param", "code"} <= set(told["error"])
    error: dict[str, Any] = told["error"]
    return error


class Frame(NamedTuple):
    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of a close frame."""
        assert self.opcode == CLOSE, self
        number: int = struct.unpack("!H", self.payload[:2])[0]
        return number


def frame(
    payload: bytes = b"", opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, is_masked: bool = True
) -> bytes:
    """The bytes of one frame as a client sends it (RFC 6455, section 5.2)."""
    size, flag = len(payload), 0x80 if is_masked else 0
    if size < 126:
        length = bytes([flag | size])
    elif size < 1 << 16:
        length = struct.pack("!BH", flag | 126, size)
    else:
        length = struct.pack("!BQ", flag | 127, size)
    mask = os.urandom(4) if is_masked else b""
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if is_masked else payload
    return bytes([fin << 7 | rsv << 4 | opcode]) + length + mask + body


class BareSocket:
    """An open websocket that answers nothing by itself: no pong, no close."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self._read = b""

    @classmethod
    def upgraded(cls, client: socket.socket, path: str, headers: dict[str, str]) -> Self:
        lines = [f"{name}: {value}" for name, value in (UPGRADE | headers).items()]
        client.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode())
        opened = cls(client)
        while b"\r\n\r\n" not in opened._read:
            opened._more()
        head, _, opened._read = opened._read.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return opened

    def send(self, *frames: bytes) -> None:
        self.client.sendall(b"".join(frames))

    def send_json(self, **message: Any) -> None:
        self.send(frame(json.dumps(message).encode()))

    def read(self) -> Frame:
        """The next frame. Raises ConnectionError when the connection ends first."""
        while (found := self._parse()) is None:
            self._more()
        return found

    def read_to_close(self) -> list[Frame]:
        """All frames up to a close frame."""
        frames = [self.read()]
        while frames[-1].opcode != CLOSE:
            frames.append(self.read())
        return frames

    def is_ended(self) -> bool:
        """Wait for the connection's end; whatever still comes is thrown away."""
        try:
            while self.client.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        return True

    def _more(self) -> None:
        chunk = self.client.recv(1 << 16)
        if not chunk:
            raise ConnectionError("the connection has ended")
        self._read += chunk

    def _parse(self) -> Frame | None:
        data, start = self._read, 2
        if len(data) < start:
            return None
        size = data[1]
        if size >= 126:
            start, form = (4, "!H") if size == 126 else (10, "!Q")
            if len(data) < start:
                return None
            size = struct.unpack(form, data[2:start])[0]
        if len(data) < start + size:
            return None
        self._read = data[start + size :]
        return Frame(data[0] & 0x0F, data[start : start + size])


@contextmanager
def bare(url: str, path: str, receive_bytes: int | None = None, **headers: str) -> Iterator[BareSocket]:
    """Upgraded; `receive_bytes` as of `connect`. Its end is without a word."""
    with closing(connect(url, receive_bytes)) as client:
        yield BareSocket.upgraded(client, path, headers)
