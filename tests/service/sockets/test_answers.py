"""Answers on their way to one socket: shown as there is room, side by side or one by one, never left over."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.errors import Conflict
from service.events import StreamEvent
from service.sockets.answers import Answers
from service.streams import Stream
from tests.service.fakes import FakeControls, accepted, delta, finished, stream_of, until
from tests.service.sockets.fakes import FakeConnection
from workers.messages import Finished, TextDelta


class Shown:
    """What has been shown: texts, and the reason at the end."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.seqs: list[int | None] = []

    def show(self, seq: int | None, event: StreamEvent) -> None:
        self.seqs.append(seq)
        if isinstance(event, TextDelta):
            self.words.append(event.text)
        elif isinstance(event, Finished):
            self.words.append(event.reason)


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def controls() -> FakeControls:
    return FakeControls()


@contextmanager
def turn(controls: FakeControls, stream: Stream) -> Iterator[None]:
    yield
    controls.deliver(stream)


async def test_events_are_shown_as_they_come(connection: FakeConnection, controls: FakeControls) -> None:
    answers, shown, stream = Answers(connection.as_connection()), Shown(), stream_of(controls)
    stream.push(delta("before"))
    answers.start(stream, shown.show)
    assert shown.words == [] and connection.num_working == 1
    await until(lambda: shown.words == ["before"])
    for text in ("one", "two"):
        with turn(controls, stream):
            stream.push(delta(text))
        assert shown.words[-1] == text
    with turn(controls, stream):
        stream.push(finished())
    assert shown.words == ["before", "one", "two", "stop"]
    assert connection.num_working == 0
    answers.require_free()


async def test_without_room_it_waits_and_loses_nothing(
    connection: FakeConnection, controls: FakeControls
) -> None:
    """What came while it waited is shown too, though nothing wakes it for that any more."""
    answers, shown, stream = Answers(connection.as_connection()), Shown(), stream_of(controls)
    answers.start(stream, shown.show)
    connection.fill()
    for number in range(3):
        with turn(controls, stream):
            stream.push(delta(str(number)))
    assert shown.words == []
    connection.drain()
    await until(lambda: shown.words == ["0", "1", "2"])
    connection.fill()
    with turn(controls, stream):
        stream.push(delta("3"))
        stream.push(finished())
    assert (shown.words[-1], connection.num_working) == ("2", 1)
    connection.drain()
    await until(lambda: not connection.num_working)
    assert shown.words == ["0", "1", "2", "3", "stop"]


async def test_who_is_dropped_hears_an_end_of_his_own(
    connection: FakeConnection, controls: FakeControls
) -> None:
    answers, shown, stream = Answers(connection.as_connection()), Shown(), stream_of(controls)
    stream.attach(0)
    answers.start(stream, shown.show)
    connection.fill()
    with turn(controls, stream):
        stream.push(delta("x"))
    answers._running[None]._reader.drop()
    connection.drain()
    await until(lambda: not connection.num_working)
    assert (shown.words, shown.seqs) == (["x", "slow_client"], [1, None])
    assert not stream.terminal


async def test_labels(connection: FakeConnection, controls: FakeControls) -> None:
    answers, shown = Answers(connection.as_connection()), Shown()
    one, two = stream_of(controls), stream_of(controls)
    answers.start(one, shown.show, "one")
    answers.start(two, shown.show, "two")
    answers.require_free("three")
    with pytest.raises(Conflict, match="'one'"):
        answers.require_free("one")
    with pytest.raises(Conflict, match="'three'"):
        answers.cancel("three")
    answers.cancel("one")
    await until(lambda: connection.num_working == 1)
    answers.cancel_all()
    await until(lambda: not connection.num_working)
    assert shown.words == ["cancelled", "cancelled"]
    with pytest.raises(Conflict, match="on this socket"):
        answers.cancel_all()


async def test_one_by_one(connection: FakeConnection, controls: FakeControls) -> None:
    answers, shown = Answers(connection.as_connection(), one_by_one=True), Shown()
    one, two = stream_of(controls), stream_of(controls)
    answers.start(one, shown.show, "one")
    answers.start(two, shown.show, "two")
    with turn(controls, two):
        two.push(delta("second"))
        two.push(finished())
    with turn(controls, one):
        one.push(delta("first"))
    await until(lambda: shown.words == ["first"])
    with turn(controls, one):
        one.push(finished())
    await until(lambda: shown.words == ["first", "stop", "second", "stop"])


async def test_leaving_stops_what_nobody_else_reads(
    connection: FakeConnection, controls: FakeControls
) -> None:
    answers, shown = Answers(connection.as_connection()), Shown()
    alone, shared = stream_of(controls), stream_of(controls)
    shared.attach(0)
    answers.start(alone, shown.show, "alone")
    answers.start(shared, shown.show, "shared")
    connection.fill()
    with turn(controls, alone):
        alone.push(delta("x"))
    answers.leave()
    assert alone.terminal and not shared.terminal
    assert connection.num_working == 0
    with turn(controls, shared):
        shared.push(delta("y"))
    assert shown.words == []


async def test_what_cannot_be_shown_ends_the_stream(
    connection: FakeConnection, controls: FakeControls, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_seq: int | None, _event: StreamEvent) -> None:
        raise ValueError("no words for it")

    answers, stream = Answers(connection.as_connection()), stream_of(controls)
    stream.push(accepted())
    answers.start(stream, fail)
    with turn(controls, stream):
        stream.push(delta("x"))
    await until(lambda: stream.terminal)
    assert stream.state == "error"
    assert connection.num_working == 0
    assert "no words for it" in caplog.text


async def test_an_answer_is_freed_without_the_garbage_collector(
    connection: FakeConnection, controls: FakeControls
) -> None:
    answers, shown, stream = Answers(connection.as_connection()), Shown(), stream_of(controls)
    gc.disable()
    try:
        answers.start(stream, shown.show)
        left = weakref.ref(answers._running[None])
        with turn(controls, stream):
            stream.push(finished())
        await until(lambda: shown.words == ["stop"])
        await asyncio.sleep(0)
        assert left() is None
    finally:
        gc.enable()
