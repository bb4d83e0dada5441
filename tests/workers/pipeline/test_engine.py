"""The pipeline engine: order, overlap, batches across jobs, failure, cancel and pause."""

from typing import Any

import pytest

from config.settings import ModelSettings
from tests.workers.pipeline.scripted import ScriptedModel, make_engine, run_all, stage, values, work
from workers.errors import JobError
from workers.messages import (
    Accepted,
    Event,
    Failed,
    Finished,
    PipelineResult,
    StageFailed,
    StageProgress,
    StageResult,
    StageStarted,
    Started,
)
from workers.pipeline.engine import PipelineEngine


def names(events: list[Event]) -> list[str]:
    return [f"{type(event).__name__} {getattr(event, 'stage', '')}".strip() for event in events]


def explode(value: str) -> str:
    if value == "two":
        raise ValueError("no two")
    return value


def test_events_keep_the_order_of_the_steps(monkeypatch: Any, settings: ModelSettings) -> None:
    first = stage("first", ["text"], str.upper, max_pieces=1)
    engine = make_engine(monkeypatch, settings, first, stage("second", ["text"], len))
    assert engine.add(1, work("first", "second", text="b a", keeps_fields=True)) == Accepted(1, 0)
    events = run_all(engine)
    assert names(events) == [
        "Started",
        "StageStarted first",
        "StageProgress first",
        "StageProgress first",
        "StageResult first",
        "StageStarted second",
        "StageProgress second",
        "StageProgress second",
        "StageResult second",
        "PipelineResult",
        "Finished",
    ]
    results = [event for event in events if isinstance(event, StageResult)]
    assert values(results[0].fields) == {"text": "b a", "first_out": ["B", "A"]}
    assert values(results[1].outputs) == {"second_out": [1, 1]}
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "completed"
    assert events[-1].usage.num_items == 2
    assert not engine.job_ids()


def test_stages_that_do_not_depend_on_each_other_overlap(monkeypatch: Any, settings: ModelSettings) -> None:
    slow = stage("slow", ["text"], str.upper, max_pieces=1)
    quick = stage("quick", ["text"], str.lower)
    engine = make_engine(monkeypatch, settings, slow, quick)
    engine.add(1, work("slow", "quick", text="a b c d"))
    engine.step()
    assert isinstance(quick.model, ScriptedModel)
    assert quick.model.batches == [["a", "b", "c", "d"]]
    assert names(run_all(engine))[-4:] == [
        "StageProgress quick",
        "StageResult quick",
        "PipelineResult",
        "Finished",
    ]


def test_a_stage_reads_what_an_earlier_one_made(monkeypatch: Any, settings: ModelSettings) -> None:
    second = stage("second", ["first_out", "text"], str.title)
    engine = make_engine(monkeypatch, settings, stage("first", ["text"], str.upper), second)
    engine.add(1, work("first", "second", text="x", keeps_fields=True))
    started = [event for event in run_all(engine) if isinstance(event, StageStarted)]
    assert [values(event.inputs) for event in started] == [{"text": "x"}, {"first_out": ["X"]}]
    engine.add(2, work("second", text="y", keeps_fields=True))
    started = [event for event in run_all(engine) if isinstance(event, StageStarted)]
    assert [values(event.inputs) for event in started] == [{"text": "y"}]


def test_pieces_of_many_jobs_share_a_batch(monkeypatch: Any, settings: ModelSettings) -> None:
    shared = stage("shared", ["text"], str.upper)
    engine = make_engine(monkeypatch, settings, shared)
    for job_id in range(4):
        engine.add(job_id, work("shared", text=f"job{job_id} word"))
    events = run_all(engine)
    assert isinstance(shared.model, ScriptedModel)
    assert len(shared.model.batches) == 1
    assert sorted(event.job_id for event in events if isinstance(event, Finished)) == [0, 1, 2, 3]


def test_a_bad_piece_fails_alone(monkeypatch: Any, settings: ModelSettings) -> None:
    engine = make_engine(monkeypatch, settings, stage("s", ["text"], explode))
    engine.add(1, work("s", text="one two", stops_at_failure=True))
    engine.add(2, work("s", text="three", stops_at_failure=True))
    events = run_all(engine)
    failed = [event for event in events if isinstance(event, Failed)]
    assert [(event.job_id, event.code, event.param) for event in failed] == [(1, "stage_failed", "s")]
    assert "ValueError: no two" in failed[0].message
    assert [event.job_id for event in events if isinstance(event, Finished)] == [2]
    assert not engine.job_ids()


def test_after_a_failure_the_rest_goes_on(monkeypatch: Any, settings: ModelSettings) -> None:
    stages = [
        stage("bad", ["text"], explode),
        stage("needs", ["bad_out"], str.upper),
        stage("good", ["text"], str.upper),
    ]
    engine = make_engine(monkeypatch, settings, *stages)
    engine.add(1, work("bad", "needs", "good", text="two"))
    events = run_all(engine)
    failures = {event.stage: event.message for event in events if isinstance(event, StageFailed)}
    assert failures.keys() == {"bad", "needs"}
    assert "bad_out" in failures["needs"]
    assert [event.stage for event in events if isinstance(event, StageResult)] == ["good"]
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.num_items == 1


def test_a_cancelled_job_stops_between_batches(monkeypatch: Any, settings: ModelSettings) -> None:
    only = stage("s", ["text"], str.upper, max_pieces=1)
    engine = make_engine(monkeypatch, settings, only)
    engine.add(1, work("s", text="a b c d e f"))
    engine.step()
    assert isinstance(only.model, ScriptedModel)
    num_batches = len(only.model.batches)
    engine.cancel(1)
    events = run_all(engine)
    assert names(events) == ["Finished"]
    assert isinstance(events[0], Finished)
    assert events[0].reason == "cancelled"
    assert len(only.model.batches) == num_batches
    assert not engine.has_work()


def test_a_paused_job_leaves_the_batches_to_others(monkeypatch: Any, settings: ModelSettings) -> None:
    only = stage("s", ["text"], str.upper, max_pieces=1)
    engine = make_engine(monkeypatch, settings, only)
    engine.add(1, work("s", text="a b"))
    engine.add(2, work("s", text="c d"))
    engine.pause(1)
    first = run_all(engine)
    assert [event.job_id for event in first if isinstance(event, Finished)] == [2]
    assert not any(isinstance(event, StageProgress) and event.job_id == 1 for event in first)
    assert engine.stats().num_paused == 1
    engine.resume(1)
    assert [event.job_id for event in run_all(engine) if isinstance(event, Finished)] == [1]


@pytest.mark.parametrize("steps", [("unknown",), ("second",)])
def test_steps_that_cannot_run_are_refused(
    monkeypatch: Any, settings: ModelSettings, steps: tuple[str, ...]
) -> None:
    engine = make_engine(monkeypatch, settings, stage("second", ["first_out"], str.upper))
    with pytest.raises(JobError) as caught:
        engine.add(1, work(*steps))
    assert caught.value.code == "bad_params"
    assert caught.value.param == "steps"
    assert not engine.job_ids()
    assert not engine.has_work()


def test_an_empty_input_has_no_pieces_and_a_result(monkeypatch: Any, settings: ModelSettings) -> None:
    engine = make_engine(monkeypatch, settings, stage("s", ["text"], str.upper))
    engine.add(1, work("s", text=""))
    events = run_all(engine)
    assert [type(event) for event in events] == [Started, StageStarted, StageResult, PipelineResult, Finished]


def test_every_job_ends_once(monkeypatch: Any, settings: ModelSettings) -> None:
    """Jobs that come, fail, are paused and cancelled amid each other."""
    engine: PipelineEngine = make_engine(monkeypatch, settings, stage("s", ["text"], explode, max_pieces=2))
    events: list[Event] = []
    for job_id in range(30):
        engine.add(
            job_id, work("s", text="one two" if job_id % 5 == 0 else "one three four", stops_at_failure=True)
        )
        if job_id % 3 == 0:
            engine.pause(job_id)
        if job_id % 7 == 0:
            engine.cancel(job_id)
        events += engine.step()
        engine.resume(job_id - 3)
    for job_id in range(30):
        engine.resume(job_id)
    events += run_all(engine)
    ended = [event.job_id for event in events if isinstance(event, Finished | Failed)]
    assert sorted(ended) == list(range(30))
