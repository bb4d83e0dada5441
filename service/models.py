"""Finds the model that a request names among those that do what its route does."""

from typing import NamedTuple

from aiohttp import web

from service.errors import NotFound
from service.keys import SETTINGS


class Kind(NamedTuple):
    """What a kind of model is called, and which engine runs it."""

    noun: str
    engine: str


PIPELINE = Kind("pipeline", "pipeline")
IMAGE = Kind("image model", "diffusion")


def models_of(request: web.Request, kind: Kind) -> list[str]:
    """The configured models of that kind, in order."""
    configured = request.app[SETTINGS].models
    return [name for name, model in configured.items() if model.engine == kind.engine]


def find_model(request: web.Request, name: str | None, kind: Kind) -> str:
    """The model of that name and kind; the first configured one when none is named. Raises NotFound."""
    known = models_of(request, kind)
    if name in known or (name is None and known):
        return name or known[0]
    if known:
        message = f"$.model: {(name or '')[:80]!r} is no {kind.noun}; there is: {', '.join(known)}"
    else:
        message = f'no {kind.noun} is configured; add one: [models.<name>] with engine = "{kind.engine}"'
    raise NotFound(message, code="model_not_found", param="model")
