"""Which framing an `Accept` header asks for."""

from aiohttp import web

from service.framing import Framing, Ndjson, PlainText, Sse
from service.keys import SETTINGS

SSE, NDJSON, TEXT = "text/event-stream", "application/x-ndjson", "text/plain"


def choose_framing(request: web.Request, default: str = SSE) -> Framing:
    """The first framing that `Accept` names and there is; else the route's default."""
    kind = next((kind for kind in _accepted(request) if kind in (SSE, NDJSON, TEXT)), default)
    match kind:
        case "application/x-ndjson":
            return Ndjson()
        case "text/plain":
            return PlainText()
        case _:
            return sse(request, has_ids=True)


def sse(request: web.Request, *, has_ids: bool) -> Sse:
    return Sse(has_ids=has_ids, retry_ms=request.app[SETTINGS].http.retry_ms)


def _accepted(request: web.Request) -> list[str]:
    """The media types of `Accept`, best first."""
    weighted = []
    for item in request.headers.get("Accept", "").split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        weighted.append((_weight(parameters), kind))
    return [kind for weight, kind in sorted(weighted, key=lambda pair: -pair[0]) if weight > 0]


def _weight(parameters: list[str]) -> float:
    text = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return float(text)
    except ValueError:
        return 0.0
