"""What happens to every request: an id, a caller, and errors in the contract's form."""

import hashlib
import logging
import re
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from service.errors import ApiError, BadParams, NotFound, Unauthorized, error_object
from service.keys import CALLER, REQUEST_ID, SETTINGS
from service.sockets.handshake import asks_for_websocket

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID_FORM = re.compile(r"[\w.:-]{1,128}", re.ASCII)
ANYONE = "anyone"
SERVER_NAME = "sluice"
CORS_METHODS = "GET, POST, DELETE, OPTIONS"
CORS_EXPOSED = "X-Request-Id, X-Stream-Id, Retry-After"
CORS_MAX_AGE_S = "86400"
MAX_MESSAGE_CHARS = 300


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id: the caller's own `X-Request-Id` when it is fit for a log line."""
    wanted = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = wanted if REQUEST_ID_FORM.fullmatch(wanted) else new_request_id()
    return await handler(request)


def new_request_id() -> str:
    return f"req_{secrets.token_hex(8)}"


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error raised before the response has started into the contract's error object."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error)
    except web.HTTPException as error:
        response = error_response(_from_http(request, error))
        if allowed := error.headers.get("Allow"):
            response.headers["Allow"] = allowed
        return response
    except web.RequestPayloadError as error:
        return error_response(_from_payload(error))
    except Exception:
        log.exception("request failed", extra={"request": request[REQUEST_ID], "route": request.path})
        return error_response(
            ApiError("internal error; the log has it under this X-Request-Id", code="internal")
        )


@web.middleware
async def authorise(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name the caller by his key. Preflights and open routes need none. Raises Unauthorized."""
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204)
    request[CALLER] = _caller(request)
    return await handler(request)


class Gate:
    """Who may call: names by the digest of their key, so that look-ups take the same time."""

    def __init__(self, keys: dict[str, str], open_paths: frozenset[str]) -> None:
        self._names = {_digest(key): name for name, key in keys.items()}
        self._open_paths = open_paths

    def caller(self, path: str, key: str) -> str:
        """The name behind the key. Raises Unauthorized."""
        if not self._names or path in self._open_paths:
            return ANYONE
        name = self._names.get(_digest(key))
        if name is None:
            raise Unauthorized(
                "missing or unknown API key; send Authorization: Bearer <key>", code="invalid_api_key"
            )
        return name


GATE = web.AppKey("GATE", Gate)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`: the request's id, and CORS on good and bad answers alike."""
    response.headers["Server"] = SERVER_NAME
    if request_id := request.get(REQUEST_ID):
        response.headers["X-Request-Id"] = request_id
    origin, allowed = request.headers.get("Origin"), request.app[SETTINGS].http.cors_origins
    if origin is None or not ("*" in allowed or origin in allowed):
        return
    response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
    response.headers["Access-Control-Expose-Headers"] = CORS_EXPOSED
    response.headers["Vary"] = "Origin"
    if request.method == "OPTIONS":
        asked = request.headers.get("Access-Control-Request-Headers", "")
        response.headers["Access-Control-Allow-Methods"] = CORS_METHODS
        response.headers["Access-Control-Allow-Headers"] = asked
        response.headers["Access-Control-Max-Age"] = CORS_MAX_AGE_S


def _caller(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    if not key and request.app[SETTINGS].auth.allow_query_token and asks_for_websocket(request):
        # A browser's WebSocket cannot send headers.
        key = request.query.get("token", "")
    return request.app[GATE].caller(request.path, key)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _from_http(request: web.Request, error: web.HTTPException) -> ApiError:
    match error:
        case web.HTTPNotFound():
            return NotFound(f"no such route: {request.method} {request.path[:200]}", code="route_not_found")
        case web.HTTPMethodNotAllowed(method=method, allowed_methods=allowed):
            message = f"{method} is not allowed on {request.path[:200]}; use {', '.join(sorted(allowed))}"
            return BadParams(message, status=405, code="method_not_allowed")
        case web.HTTPRequestEntityTooLarge():
            limit = request.app[SETTINGS].http.max_body_bytes
            return BadParams(
                f"the body is larger than {limit} bytes (http.max_body_bytes)", status=413, code="too_large"
            )
        case _:
            return BadParams(in_one_line(error.text or error.reason), status=error.status, code="bad_request")


def _from_payload(error: web.RequestPayloadError) -> ApiError:
    """Broken chunks, or a content encoding that is not what it says."""
    reason = error.__cause__.message if isinstance(error.__cause__, HttpProcessingError) else str(error)
    return BadParams(f"the body cannot be read: {in_one_line(reason)}", status=400, code="bad_body")


def in_one_line(message: str) -> str:
    """What aiohttp's parser says, without the caret that it draws below the byte it stumbled over."""
    return " ".join(message.rstrip("^ \n").split())[:MAX_MESSAGE_CHARS]


def error_response(error: ApiError) -> web.Response:
    """The error object as an answer."""
    response = web.json_response({"error": error_object(error)}, status=error.status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 426:
        response.headers["Upgrade"] = "websocket"
        response.headers["Sec-WebSocket-Version"] = "13"
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
