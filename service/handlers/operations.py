"""What operators ask: health, readiness, metrics, the description of the API."""

from aiohttp import web

from service.keys import METRICS, ROUTE_TABLE, SUPERVISOR
from service.openapi import describe
from service.tasks import known_tasks


async def healthz(_request: web.Request) -> web.Response:
    """The process lives."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Every configured model has a live worker and tokens flow; else 503 with the reasons."""
    reasons = request.app[SUPERVISOR].complaints()
    if reasons:
        return web.json_response(
            {"status": "not ready", "reasons": reasons}, status=503, headers={"Retry-After": "2"}
        )
    return web.json_response({"status": "ready"})


async def metrics(request: web.Request) -> web.Response:
    """JSON, or Prometheus text when `Accept` names it."""
    accept = request.headers.get("Accept", "")
    if "text/plain" in accept or "openmetrics" in accept:
        body, content_type = request.app[METRICS].text(accept)
        return web.Response(body=body, headers={"Content-Type": content_type})
    return web.json_response(request.app[METRICS].summary())


async def openapi(request: web.Request) -> web.Response:
    """Every HTTP route, and every task."""
    routes = request.app[ROUTE_TABLE]
    specs = [spec for _, spec in known_tasks(request.app).values()]
    return web.json_response(describe(routes, specs))
