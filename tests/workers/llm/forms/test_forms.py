"""Grammars are compiled beside the steps: who waits for one holds up nobody, and may leave."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.workers.llm.driver import GREEDY, Driver, change
from workers.embedded import LANGUAGE
from workers.errors import JobError
from workers.llm.forms import forms
from workers.llm.forms.forms import Forms
from workers.llm.forms.grammar import Form, Grammar
from workers.messages import (
    Accepted,
    Event,
    Failed,
    Finished,
    JsonForm,
    Sampling,
    TextDelta,
    TextWork,
    TokenPrompt,
)

SAMPLING = Sampling(max_tokens=80, temperature=1.0, seed=3)
TIMEOUT_S = 60.0


class Gate:
    """Stands before the compiler: counts what passes, and holds it until it is opened."""

    def __init__(self, compile_: Callable[[Grammar], Form]) -> None:
        self._compile = compile_
        self.is_open = threading.Event()
        self.num_passed = 0

    def __call__(self, grammar: Grammar) -> Form:
        assert self.is_open.wait(TIMEOUT_S)
        self.num_passed += 1
        return self._compile(grammar)


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver(LANGUAGE)
    yield driver
    driver.engine.close()


@pytest.fixture
def gate(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    grammars = driver.engine._intake.grammars
    gate = Gate(grammars.compile)
    monkeypatch.setattr(grammars, "compile", gate)
    yield gate
    gate.is_open.set()


def work_of(schema: Any, sampling: Sampling = SAMPLING, **values: Any) -> TextWork:
    form = JsonForm(json.dumps(schema).encode())
    return TextWork([TokenPrompt([*range(20, 30)])], sampling, form=form, **values)


def run(driver: Driver) -> list[Event]:
    events = []
    while driver.engine.has_work():
        events += driver.engine.step()
    assert driver.engine.job_ids() == []
    return events


def text_of(events: list[Event], job_id: int, index: int = 0) -> str:
    deltas = [event for event in events if isinstance(event, TextDelta)]
    return "".join(delta.text for delta in deltas if (delta.job_id, delta.index) == (job_id, index))


def test_others_go_on_while_a_grammar_is_compiled(driver: Driver, gate: Gate) -> None:
    engine = driver.engine
    other = driver.add_tokens([*range(40, 60)], change(GREEDY, max_tokens=20))
    assert engine.add(99, work_of({"enum": ["red"]}, n=2)) is None
    assert engine.stats().num_waiting == 3
    while driver.transcripts[other].end is None:
        driver.step()
    assert engine.job_ids() == [99]
    assert engine.step() == []
    gate.is_open.set()
    events = run(driver)
    assert events[0] == Accepted(99, 10)
    assert [text_of(events, 99, index) for index in (0, 1)] == ['"red"'] * 2
    assert events[-1] == Finished(99, "stop", events[-1].usage, events[-1].ended)  # type: ignore[union-attr]


def test_the_same_grammar_again_is_there_at_once(driver: Driver, gate: Gate) -> None:
    """Also where it came while the first was compiled."""
    engine = driver.engine
    assert engine.add(1, work_of({"enum": ["red"]})) is None
    assert engine.add(2, work_of({"enum": ["red"]})) is None
    gate.is_open.set()
    run(driver)
    assert isinstance(engine.add(3, work_of({"enum": ["red"]})), Accepted)
    assert text_of(run(driver), 3) == '"red"'
    assert gate.num_passed == 1


def test_a_bad_schema_fails_before_it_is_accepted(driver: Driver) -> None:
    engine = driver.engine
    assert engine.add(1, work_of({"type": "nonsense"})) is None
    (event,) = run(driver)
    assert isinstance(event, Failed)
    assert (event.code, event.param) == ("bad_params", "response_format")
    with pytest.raises(JobError, match="nonsense"):
        engine.add(2, work_of({"type": "nonsense"}))
    assert engine.job_ids() == []
    assert text_of(run_one(driver, 3, {"enum": ["red"]}), 3) == '"red"'


def run_one(driver: Driver, job_id: int, schema: Any) -> list[Event]:
    driver.engine.add(job_id, work_of(schema))
    return run(driver)


def test_cancelled_and_paused_before_it_is_ready(driver: Driver, gate: Gate) -> None:
    engine = driver.engine
    for job_id in (1, 2):
        assert engine.add(job_id, work_of({"enum": ["red"]})) is None
        engine.pause(job_id)
    engine.cancel(1)
    assert [type(event) for event in engine.step()] == [Finished]
    gate.is_open.set()
    events = run_while(driver, lambda: engine.has_work())
    assert events == [Accepted(2, 10)]
    assert engine.stats().num_paused == 1
    engine.resume(2)
    assert text_of(run(driver), 2) == '"red"'


def run_while(driver: Driver, condition: Callable[[], bool]) -> list[Event]:
    events = []
    while condition():
        events += driver.engine.step()
    return events


def test_an_answer_goes_on_in_its_form(driver: Driver, gate: Gate) -> None:
    """What a lost worker had sent is a part of the answer, and of its form."""
    gate.is_open.set()
    schema = {"type": "array", "items": {"enum": ["red", "blue"]}, "minItems": 3, "maxItems": 3}
    events = run_one(driver, 1, schema)
    ids = [i for event in events if isinstance(event, TextDelta) for i in event.token_ids]
    engine = driver.engine
    engine.add(2, work_of(schema, generated=[ids[:5]]))
    rest = [i for event in run(driver) if isinstance(event, TextDelta) for i in event.token_ids]
    assert ids[:5] + rest == ids


def test_so_many_may_wait_and_no_more(driver: Driver, gate: Gate) -> None:
    engine = driver.engine
    for i in range(forms.MAX_MAKING):
        assert engine.add(i, work_of({"enum": [i]})) is None
    with pytest.raises(JobError, match=f"{forms.MAX_MAKING} grammars") as caught:
        engine.add(99, work_of({"enum": [99]}))
    assert caught.value.code == "engine_overloaded"
    assert len(engine.job_ids()) == forms.MAX_MAKING
    gate.is_open.set()
    run(driver)


def test_as_many_are_kept_as_there_is_room_for(driver: Driver, gate: Gate) -> None:
    gate.is_open.set()
    for i in range(forms.MAX_KEPT + 1):
        run_one(driver, i, {"enum": [i]})
    first, last = work_of({"enum": [0]}), work_of({"enum": [forms.MAX_KEPT]})
    assert isinstance(driver.engine.add(97, last), Accepted)
    assert driver.engine.add(98, first) is None
    run(driver)
    large = {"type": "object", "description": "x" * forms.MAX_KEPT_CHARS}
    assert driver.engine.add(99, work_of(large, change(SAMPLING, max_tokens=2))) is None
    run(driver)
    run_one(driver, 100, {"enum": ["other"]})
    assert driver.engine.add(101, last) is None
    run(driver)


def test_closing_ends_what_is_compiled(driver: Driver) -> None:
    """A schema that would take its whole limit does not hold up a worker that is to leave."""
    patterns = [{"pattern": f"(a|b)*a(a|b){{{i}}}"} for i in range(1, 20)]
    driver.engine.add(1, work_of({"type": "string", "allOf": patterns}))
    driver.engine.add(2, work_of({"enum": ["red"]}))
    made: Forms = driver.engine._forms
    (first, second) = (future for _, future in made._jobs.values())
    driver.engine.close()
    assert isinstance(first.exception(TIMEOUT_S), JobError)
    assert second.cancelled()


def test_a_form_that_cannot_go_on_fails_its_job_alone(driver: Driver) -> None:
    schema = {"type": "string", "pattern": "^(a|b|c|[d-z]{1,9}){1000}$"}
    other = driver.add_tokens([*range(40, 60)], change(GREEDY, max_tokens=300))
    driver.engine.add(99, work_of(schema, change(SAMPLING, max_tokens=600, temperature=2.0)))
    events = run(driver)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert (failed.job_id, failed.code, failed.param) == (99, "bad_params", "response_format")
    assert failed.usage.completion_tokens > 0
    assert sum(len(e.token_ids) for e in events if isinstance(e, TextDelta) and e.job_id == other) == 300
