"""The operator's own tasks."""

from aiohttp import web
from msgspec import Raw

from service.admission import admit_work
from service.dialects.dialect import encode
from service.dialects.tasks import TaskDialect
from service.keys import DISPATCHER
from service.negotiation import choose_framing
from service.params.read import read_json
from service.tasks import find_task, known_tasks
from service.wire import send_stream
from workers.messages import TaskWork


async def run_task(request: web.Request) -> web.StreamResponse:
    """Run a task: what it yields is the stream."""
    name = request.match_info["name"]
    model, work = find_task(request, name), TaskWork(name, await read_json(request))
    job = admit_work(request, model, work)
    stream = request.app[DISPATCHER].submit(job, TaskDialect(job.stream_id))
    return await send_stream(request, stream, choose_framing(request))


async def list_tasks(request: web.Request) -> web.Response:
    """The tasks there are, each with the JSON schema of its params."""
    tasks = [
        {"name": name, "description": spec.description, "model": model, "params": Raw(spec.schema)}
        for name, (model, spec) in known_tasks(request.app).items()
    ]
    return web.Response(body=encode({"tasks": tasks}), content_type="application/json")
