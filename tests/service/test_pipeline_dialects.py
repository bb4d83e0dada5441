"""Stages' events -> the objects of the routes for texts and lists."""

import json
from typing import Any

import pytest

from service.dialects.dialect import Dialect
from service.dialects.fields import fields_object
from service.dialects.items import ItemsDialect
from service.dialects.pipeline import PipelineDialect
from service.dialects.process import SECTIONS, ProcessDialect
from service.dialects.sections import Sections
from service.events import StreamEvent
from service.framing import Sse, encode_events
from service.params.pipeline import ProcessParams
from service.pipelines import wish_process
from tests.service.fakes import JOB_ID, accepted
from workers.errors import KINDS
from workers.messages import (
    Failed,
    Field,
    Finished,
    PipelineResult,
    StageFailed,
    StageProgress,
    StageResult,
    StageStarted,
    Started,
    TextDelta,
    Usage,
)

REASONS = ["cancelled", "client_gone", "slow_client", "deadline", "drained"]
USED = Usage(0, 4, 2)
USAGE = {"prompt_tokens": 0, "completion_tokens": 4, "total_tokens": 4, "stages": 2}
CHUNKS = [
    {"chunk": "Good.", "sentiment": "POSITIVE", "confidence": 0.9},
    {"chunk": 'A "\u2028🦊"', "sentiment": "NEUTRAL", "confidence": 0.5},
    {"chunk": "Fine.", "sentiment": "POSITIVE", "confidence": 0.8},
]
ENTITY = {
    "text": "Köln",
    "type": "GPE",
    "label": "GPE",
    "description": "Countries, cities, states",
    "start": 2,
    "end": 6,
    "confidence": None,
}


def dialects() -> list[Dialect]:
    return [PipelineDialect("s", ["first", "summary"]), ProcessDialect("s", 200), ItemsDialect(25, 10)]


def ids(dialect: Dialect) -> str:
    return type(dialect).__name__


def fields(**values: Any) -> list[Field]:
    return [
        Field(name, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        for name, value in values.items()
    ]


def result(stage: str, kept: dict[str, Any] | None = None, **outputs: Any) -> StageResult:
    return StageResult(JOB_ID, stage, fields(**outputs), fields(**(kept or {})))


def said(dialect: Dialect, event: StreamEvent) -> Any:
    """The one object that says an event."""
    (out,) = dialect.render(event)
    return json.loads(out.body)


def finished(reason: str) -> Finished:
    return Finished(JOB_ID, reason, USED, [])


@pytest.mark.parametrize("dialect", dialects(), ids=ids)
@pytest.mark.parametrize("reason", REASONS)
def test_every_ending_says_its_reason_and_usage(dialect: Dialect, reason: str) -> None:
    body = said(dialect, finished(reason))
    assert (body["finish_reason"], body["usage"]) == (reason, USAGE)
    assert reason in (body.get("status"), body.get("type"))
    (out,) = dialect.render(finished(reason))
    assert reason in out.text


@pytest.mark.parametrize("dialect", dialects(), ids=ids)
@pytest.mark.parametrize("code", KINDS)
def test_every_failure_is_an_error_event_with_usage(dialect: Dialect, code: str) -> None:
    (out,) = dialect.render(Failed(JOB_ID, code, "it broke", "first", USED))
    body = json.loads(out.body)
    assert out.event == "error"
    assert body["usage"] == USAGE
    assert {"message", "type", "param", "code"} <= set(body["error"])
    assert (body["error"]["message"], body["error"]["code"]) == ("it broke", code)
    assert "it broke" in out.text


def test_a_whole_run_has_one_terminal_object() -> None:
    """On the wire it is the result that ends the stream; `Finished` adds none."""
    last = PipelineResult(JOB_ID, fields(text="x"), 0.25, USED)
    pipeline, process, items = dialects()
    assert said(pipeline, last) == {
        "step": "pipeline_complete",
        "status": "completed",
        "final_result": {"text": "x"},
        "processing_time": 0.25,
        "finish_reason": "completed",
        "usage": USAGE,
    }
    assert said(process, last)["finish_reason"] == "completed"
    assert items.render(last) == []
    for dialect in (pipeline, process, items):
        assert dialect.render(finished("completed")) == []
        assert dialect.render(Started(JOB_ID)) == []


def test_the_steps_of_a_pipeline() -> None:
    dialect = PipelineDialect("st_1", ["first", "summary"])
    assert said(dialect, StageStarted(JOB_ID, "first", fields(text="x"))) == {
        "step": "first",
        "status": "starting",
        "input": {"text": "x"},
        "stream_id": "st_1",
    }
    assert "stream_id" not in said(dialect, StageStarted(JOB_ID, "summary", []))
    assert said(dialect, TextDelta(JOB_ID, 1, "so", [], 1)) == {
        "step": "summary",
        "status": "generating",
        "text": "so",
    }
    assert said(dialect, result("first", {"text": "x", "n": 1}, n=1)) == {
        "step": "first",
        "status": "completed",
        "result": {"n": 1},
        "accumulated_data": {"text": "x", "n": 1},
    }
    assert dialect.render(accepted()) == []
    assert dialect.render(StageProgress(JOB_ID, "first", 1, 2, b"1")) == []


def test_a_stage_that_fails_is_named_and_other_failures_name_none() -> None:
    dialect = PipelineDialect("s", ["first"])
    failed = Failed(JOB_ID, "stage_failed", 'stage "first": no', "first", USED)
    assert said(dialect, failed)["step"] == "first"
    assert said(dialect, Failed(JOB_ID, "worker_lost", "gone", None, USED))["step"] is None


def test_field_names_are_json_too() -> None:
    made = fields_object(fields(**{'a"b': 1, "ü": "x"}))
    assert json.loads(bytes(made)) == {'a"b': 1, "ü": "x"}
    assert bytes(fields_object([])) == b"{}"


def test_the_sections_of_a_text() -> None:
    dialect = ProcessDialect("st_1", 200)
    first = said(dialect, accepted())
    assert (first["status"], first["text_length"], first["stream_id"]) == ("started", 200, "st_1")
    assert first["timestamp"].endswith("+00:00")
    assert said(dialect, result("chunking", chunks=["a", "b"]))["chunks"] == 2
    progress = StageProgress(JOB_ID, "chunk_sentiment", 1, 3, json.dumps(CHUNKS[0]).encode())
    assert said(dialect, progress) == {
        "status": "sentiment_progress",
        "progress": 0.333333,
        "chunk_result": CHUNKS[0],
    }
    assert said(dialect, result("chunk_sentiment", a="POSITIVE", b=0.7, c=CHUNKS)) == {
        "status": "sentiment_complete",
        "overall_sentiment": "POSITIVE",
        "overall_confidence": 0.7,
        "chunk_sentiments": CHUNKS,
        "positive_chunks": 2,
        "negative_chunks": 0,
        "neutral_chunks": 1,
    }
    assert said(dialect, TextDelta(JOB_ID, 2, "so", [], 1)) == {
        "status": "summarization_progress",
        "text": "so",
    }
    assert said(dialect, result("summary", summary="ü" * 50)) == {
        "status": "summarization_complete",
        "summary": "ü" * 50,
        "compression_ratio": 0.25,
    }
    assert said(dialect, result("entities", entities=[ENTITY, ENTITY])) == {
        "status": "entities_complete",
        "entities": [ENTITY, ENTITY],
        "entity_types": {"GPE": 2},
        "total_entities": 2,
    }


def test_each_section_begins_and_may_fail() -> None:
    dialect = ProcessDialect("s", 200)
    words = {stage: said(dialect, StageStarted(JOB_ID, stage, [])) for stage in SECTIONS}
    assert [word["status"] for word in words.values()] == [
        "chunking",
        "sentiment_processing",
        "summarization_processing",
        "entities_processing",
    ]
    assert all(word["message"] for word in words.values())
    failures = [said(dialect, StageFailed(JOB_ID, stage, "no")) for stage in SECTIONS]
    assert failures == [
        {"status": f"{name}_error", "error": "no"}
        for name in ("chunking", "sentiment", "summarization", "entities")
    ]


def test_rendering_twice_says_the_same() -> None:
    dialect = ProcessDialect("s", 200)
    for event in (accepted(), PipelineResult(JOB_ID, [], 1.5, USED)):
        assert dialect.render(event) == dialect.render(event)
    began, ended = said(dialect, accepted()), said(dialect, PipelineResult(JOB_ID, [], 3600, USED))
    assert ended["total_processing_time"] == 3600
    assert began["timestamp"] < ended["timestamp"]


def test_outputs_that_settings_leave_out_are_null() -> None:
    sections = Sections()
    sections.take(result("chunk_sentiment", label="POSITIVE"))
    assert json.loads(sections.whole(1))["sentiment"] == {"label": "POSITIVE", "confidence": None}


def test_items_are_counted_not_chunks() -> None:
    dialect = ItemsDialect(25, 10)
    assert said(dialect, StageProgress(JOB_ID, "items", 1, 3, b"[1]")) == {
        "type": "progress",
        "processed": 10,
        "total": 25,
        "progress": 0.4,
        "chunk_results": [1],
    }
    last = said(dialect, StageProgress(JOB_ID, "items", 3, 3, b"[1]"))
    assert (last["processed"], last["progress"]) == (25, 1.0)
    complete = said(dialect, result("items", all_results=[1], summary={"total_items": 25}))
    assert (complete["type"], complete["processed"], complete["total"]) == ("complete", 25, 25)
    assert (complete["all_results"], complete["summary"]) == ([1], {"total_items": 25})
    assert complete["finish_reason"] == "completed"
    empty = said(ItemsDialect(0, 10), result("items", all_results=[], summary={}))
    assert (empty["processed"], empty["total"], empty["progress"]) == (0, 0, 1.0)


def test_sections_in_one_answer() -> None:
    sections = Sections()
    sections.take(StageFailed(JOB_ID, "summary", "no"))
    sections.take(result("entities", entities=[ENTITY]))
    sections.take(finished("deadline"))
    assert json.loads(sections.whole(0.123456)) == {
        "sentiment": None,
        "summary": None,
        "entities": [{"text": "Köln", "label": "GPE"}],
        "processing_time": 0.1235,
        "errors": {"summary": "no"},
        "finish_reason": "deadline",
        "usage": USAGE,
    }


def test_values_stand_on_one_line() -> None:
    events: list[tuple[int | None, StreamEvent]] = [(1, result("chunk_sentiment", a="x", b=1, c=CHUNKS))]
    body = encode_events(events, ProcessDialect("s", 10), Sse(has_ids=True, retry_ms=1))
    assert body.count(b"\n") == 4


@pytest.mark.parametrize(
    ("wishes", "steps"),
    [
        ({}, ["chunking", "chunk_sentiment", "summary"]),
        ({"include_sentiment": False}, ["chunking", "summary"]),
        ({"include_summary": False, "include_entities": True}, ["chunking", "chunk_sentiment", "entities"]),
    ],
)
def test_the_steps_that_sections_take(wishes: dict[str, Any], steps: list[str]) -> None:
    work = wish_process(ProcessParams(text="x" * 101, **wishes))
    assert work.steps == steps
    assert not work.stops_at_failure
    assert "summary" not in wish_process(ProcessParams(text="x" * 100, **wishes)).steps
