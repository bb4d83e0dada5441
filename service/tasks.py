"""The tasks that this service's workers run, as they said when they became ready."""

from aiohttp import web

from service.admission import limits_of
from service.errors import NotFound
from service.keys import SETTINGS, SUPERVISOR
from workers.messages import TaskSpec


def known_tasks(app: web.Application) -> dict[str, tuple[str, TaskSpec]]:
    """Each task's model and spec, by name. Where two models have one of the same name, the first's."""
    tasks: dict[str, tuple[str, TaskSpec]] = {}
    for model in app[SETTINGS].models:
        limits = app[SUPERVISOR].limits(model)
        for spec in limits.tasks if limits else []:
            tasks.setdefault(spec.name, (model, spec))
    return tasks


def find_task(request: web.Request, name: str) -> str:
    """The model that runs the task. Raises NotFound; Unavailable while a model may yet bring it."""
    tasks = known_tasks(request.app)
    if name in tasks:
        return tasks[name][0]
    for model, settings in request.app[SETTINGS].models.items():
        if settings.engine == "tasks":
            limits_of(request, model)
    known = ", ".join(tasks) or "none"
    raise NotFound(f"task {name[:80]!r} is unknown; there is: {known}", code="task_not_found", param="name")
