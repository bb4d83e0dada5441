"""What a request must bring to become a websocket (RFC 6455, section 4.2)."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web

from service.errors import BadParams, Forbidden, UpgradeRequired

VERSIONS = ("13", "8", "7")
KEY_BYTES = 16


def asks_for_websocket(request: web.Request) -> bool:
    """Whether it wants an upgrade to a websocket; some clients offer others with every request."""
    return request.headers.get("Upgrade", "").strip().lower() == "websocket"


def require_handshake(request: web.Request) -> None:
    """Raises UpgradeRequired for a plain request or another version, BadParams for a broken one."""
    if not asks_for_websocket(request):
        raise UpgradeRequired(f"{request.path[:200]} is a websocket; connect with Upgrade: websocket")
    version = request.headers.get("Sec-WebSocket-Version", "")
    if version not in VERSIONS:
        message = f"Sec-WebSocket-Version {version[:40]!r} is not supported; use 13"
        raise UpgradeRequired(message, param="Sec-WebSocket-Version")
    key = request.headers.get("Sec-WebSocket-Key", "")
    if not _is_key(key):
        message = f"Sec-WebSocket-Key {key[:40]!r}: expected {KEY_BYTES} bytes in base64"
        raise BadParams(message, param="Sec-WebSocket-Key", status=400)
    if not web.WebSocketResponse().can_prepare(request):
        message = f"Connection {request.headers.get('Connection', '')[:40]!r}: expected Upgrade"
        raise BadParams(message, param="Connection", status=400)


def require_origin(request: web.Request, origins: Sequence[str]) -> None:
    """Raises Forbidden when a browser comes from a page of none of these, nor of this very host."""
    origin = request.headers.get("Origin")
    if origin is None or "*" in origins or origin in origins or _host_of(origin) == request.host:
        return
    message = f"Origin {origin[:200]!r} may not connect (http.cors_origins)"
    raise Forbidden(message, code="origin_not_allowed", param="Origin")


def _is_key(key: str) -> bool:
    try:
        return len(b64decode(key)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
