"""Reads a request's body or query into a params struct. Says field, value and what is accepted."""

import json
from math import isfinite
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from service.errors import BadParams, UnsupportedMedia
from workers.errors import complaint

P = TypeVar("P", bound=msgspec.Struct)
T = TypeVar("T")


async def read(request: web.Request, kind: type[P], *, bad_status: int = 422) -> P:
    """Parse the JSON body of a POST, or the query of a GET.

    Raises BadParams (400 for what is no JSON, `bad_status` for a bad value) and UnsupportedMedia.
    """
    if request.method == "GET":
        return parse_query(request.rel_url.raw_query_string, kind, bad_status)
    return parse_json(await _body(request), kind, bad_status)


async def read_json(request: web.Request) -> bytes:
    """The JSON body as it came, for who knows what it is to say; `{}` for none.

    Raises BadParams for what is no JSON, and UnsupportedMedia.
    """
    body = await _body(request) or b"{}"
    parse_json(body, msgspec.Raw)
    return body


async def _body(request: web.Request) -> bytes:
    if request.headers.get("Content-Type") and request.content_type != "application/json":
        raise UnsupportedMedia(
            f"Content-Type {request.content_type[:80]!r} is not supported; send application/json",
            code="unsupported_media_type",
            param="Content-Type",
        )
    return await request.read()


def parse_json(body: bytes | str, kind: type[T], bad_status: int = 422) -> T:
    """Parse one JSON text. Raises BadParams."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _bad_value(error, _decode(body), bad_status) from None
    except RecursionError:
        raise BadParams("the body is nested too deeply", status=400, code="bad_json") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        place = _no_number(body)
        reason = f"$.{place} is NaN or infinite; expected a finite number" if place else str(error)
        message = f"the body is not valid JSON: {reason}"
        raise BadParams(message, param=place, status=400, code="bad_json") from None


def parse_query(query: str, kind: type[P], bad_status: int = 422) -> P:
    """Parse a query string; numbers and booleans stand there as text. Raises BadParams.

    What stands there more than once is a list.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise BadParams("the query is not valid UTF-8", status=400, code="bad_query") from None
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    values = {name: found if len(found) > 1 else found[0] for name, found in lists.items()}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _bad_value(error, values, bad_status) from None


def _decode(body: bytes | str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def _no_number(body: bytes | str) -> str | None:
    """The field whose value is what JavaScript and Python write, and JSON does not have: NaN or Infinity."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return None
    fields = values.items() if isinstance(values, dict) else ()
    return next((name for name, value in fields if isinstance(value, float) and not isfinite(value)), None)


def _bad_value(error: msgspec.ValidationError, values: Any, status: int) -> BadParams:
    message, param = complaint(error, values)
    return BadParams(message, param=param, status=status)
