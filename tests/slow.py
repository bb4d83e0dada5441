"""Clients whose kernel keeps little for them: who reads nothing is soon seen to."""

import socket
from typing import Any

from aiohttp import TCPConnector

NARROW_BYTES = 4_096


def narrow_connector() -> TCPConnector:
    """Connections with a small receive buffer: the kernel would let one grow to megabytes."""
    return TCPConnector(socket_factory=_narrow_socket)


def _narrow_socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
    return made
