"""Bytes on a bare socket, for what no client library will send."""

import socket
from contextlib import closing
from urllib.parse import urlsplit

TIMEOUT_S = 120.0


def connect(url: str, receive_bytes: int | None = None) -> socket.socket:
    """A connection; `receive_bytes` bounds what the kernel takes for a client that does not read."""
    parts = urlsplit(url)
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.settimeout(TIMEOUT_S)
    client.connect((parts.hostname, parts.port))
    return client


def exchange(url: str, request: bytes) -> tuple[bytes, bytes]:
    """Send bytes, read until the other side closes; return head and body of what came."""
    with closing(connect(url)) as client:
        client.sendall(request)
        answer = b""
        while chunk := client.recv(1 << 16):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body
