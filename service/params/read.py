"""Reads a request's body or query into a params struct. Says field, value and what is accepted."""

import re
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from service.errors import BadParams, UnsupportedMedia

P = TypeVar("P", bound=msgspec.Struct)

PLACE = re.compile(r"^(.*?)(?: - at `\$\.?(.*?)`)?$", re.DOTALL)
STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
NUM_VALUE_CHARS = 60


async def read(request: web.Request, kind: type[P], *, bad_status: int = 422) -> P:
    """Parse the JSON body of a POST, or the query of a GET.

    Raises BadParams (400 for what is no JSON, `bad_status` for a bad value) and UnsupportedMedia.
    """
    if request.method == "GET":
        return parse_query(request.rel_url.raw_query_string, kind, bad_status)
    if request.headers.get("Content-Type") and request.content_type != "application/json":
        raise UnsupportedMedia(
            f"Content-Type {request.content_type[:80]!r} is not supported; send application/json",
            code="unsupported_media_type",
            param="Content-Type",
        )
    return parse_json(await request.read(), kind, bad_status)


def parse_json(body: bytes | str, kind: type[P], bad_status: int = 422) -> P:
    """Parse one JSON text. Raises BadParams."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _bad_value(error, _decode(body), bad_status) from None
    except RecursionError:
        raise BadParams("the body is nested too deeply", status=400, code="bad_json") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadParams(f"the body is not valid JSON: {error}", status=400, code="bad_json") from None


def parse_query(query: str, kind: type[P], bad_status: int = 422) -> P:
    """Parse a query string; numbers and booleans stand there as text. Raises BadParams."""
    try:
        values = dict(parse_qsl(query, keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise BadParams("the query is not valid UTF-8", status=400, code="bad_query") from None
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _bad_value(error, values, bad_status) from None


def _decode(body: bytes | str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def _bad_value(error: msgspec.ValidationError, values: Any, status: int) -> BadParams:
    match = PLACE.match(str(error))
    message, place = (match[1], match[2] or "") if match else (str(error), "")
    missing = re.search(r"required field `(\w+)`", message)
    if missing:
        place = f"{place}.{missing[1]}".lstrip(".")
        return BadParams(f"$.{place}: required, but missing", param=place, status=status)
    if not place:
        return BadParams(f"$: {message}", status=status)
    return BadParams(f"$.{place}: {message}, not {_show(values, place)}", param=place, status=status)


def _show(values: Any, place: str) -> str:
    """The value at a place such as `messages[0].role`, short enough for a message."""
    for name, index in STEP.findall(place):
        try:
            values = values[name] if name else values[int(index)]
        except (KeyError, IndexError, TypeError):
            return "what was given"
    text = msgspec.json.encode(values).decode()
    return text if len(text) <= NUM_VALUE_CHARS else f"{text[:NUM_VALUE_CHARS]}… ({len(text)} characters)"
