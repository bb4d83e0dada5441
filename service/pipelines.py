"""Params -> pipeline work: which model runs which stages on what."""

from aiohttp import web
from msgspec import json

from service.admission import limits_of
from service.bounds import Bounds, check_not_blank
from service.errors import BadParams
from service.keys import SETTINGS
from service.params.pipeline import ItemsParams, PipelineParams, ProcessParams
from workers.messages import Field, PipelineWork

# Shorter texts are their own summary.
MIN_SUMMARY_CHARS = 100


def wish_pipeline(request: web.Request, model: str, params: PipelineParams) -> PipelineWork:
    """The steps that were asked for, else the model's own; the first that fails ends them."""
    Bounds(request).check("text", len(params.text), "max_text_chars", "characters")
    return PipelineWork(
        _steps(request, model, params.step_list()),
        [_text(params.text)],
        target_language=params.target_language or "",
        stops_at_failure=True,
        keeps_fields=True,
        streams_text=params.stream_text,
    )


def wish_process(params: ProcessParams) -> PipelineWork:
    """The sections that were asked for; one that fails leaves the others alone."""
    has_summary = params.include_summary and len(params.text) > MIN_SUMMARY_CHARS
    steps = {
        "chunking": True,
        "chunk_sentiment": params.include_sentiment,
        "summary": has_summary,
        "entities": params.include_entities,
    }
    return PipelineWork(
        [step for step, is_asked in steps.items() if is_asked],
        [_text(params.text)],
        chunk_size=params.chunk_size,
        streams_text=params.stream_text,
    )


def wish_items(request: web.Request, params: ItemsParams) -> PipelineWork:
    """Each item for itself. An empty list is a list: it has totals of zero."""
    Bounds(request).check("data", len(params.data), "max_items", "items")
    return PipelineWork(
        ["items"],
        [Field("data", json.encode(params.data))],
        chunk_size=params.chunk_size,
        stops_at_failure=True,
    )


def _text(text: str) -> Field:
    check_not_blank("text", text)
    return Field("text", json.encode(text))


def _steps(request: web.Request, model: str, asked: list[str] | None) -> list[str]:
    usual = request.app[SETTINGS].models[model].steps
    stages = limits_of(request, model).stages
    if asked is None:
        return usual
    # The usual ones first, in the order in which they run.
    known = dict.fromkeys([*usual, *(stage.name for stage in stages)])
    for step in asked:
        if step not in known:
            raise BadParams(f"$.steps: {step[:80]!r} is unknown; there is: {', '.join(known)}", param="steps")
        if asked.count(step) > 1:
            raise BadParams(f"$.steps: {step!r} stands there more than once", param="steps")
    return asked
