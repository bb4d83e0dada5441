"""One job's events in order, its log, its readers: the promises of `service/streams.py`."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import reader as reader_module
from service.errors import Expired
from service.event_log import EventLog
from service.events import StreamEvent
from service.reader import Reader
from service.streams import Stream
from tests.service.fakes import (
    JOB_ID,
    FakeControls,
    accepted,
    delta,
    finished,
    stream_of,
    stream_settings,
    until,
)
from workers.messages import ChoiceFinished, Failed, Finished, TextDelta, Usage

SMALL = {
    "join_unread_bytes": 2_000,
    "low_unread_bytes": 4_000,
    "max_unread_bytes": 10_000,
    "max_log_bytes": 20_000,
    "stall_timeout_s": 0.02,
    "resume_ttl": 0.02,
}
FAILED = Failed(JOB_ID, "worker_lost", "gone", None, Usage())


def text_of(events: list[tuple[int, StreamEvent]], index: int = 0) -> str:
    return "".join(e.text for _, e in events if isinstance(e, TextDelta) and e.index == index)


def fill(stream: Stream, num_bytes: int, first: int = 0) -> int:
    """Push tokens until so many bytes are logged; return how many."""
    goal, num = stream.log.num_bytes + num_bytes, first
    while stream.log.num_bytes < goal:
        num += 1
        stream.push(delta(f" {num}", num))
    return num


def events_of(*choices: int) -> st.SearchStrategy[list[StreamEvent]]:
    deltas = st.builds(delta, st.text(max_size=3), st.just(1), st.sampled_from(choices))
    other = st.sampled_from([accepted(), finished(), FAILED, ChoiceFinished(JOB_ID, 1, "stop")])
    return st.lists(st.one_of(deltas, other), max_size=30)


@given(events_of(0, 1), st.lists(st.sampled_from(["cancelled", "deadline"]), max_size=3))
async def test_seqs_increase_from_1_to_the_one_terminal(events: list[StreamEvent], ends: list[str]) -> None:
    stream = stream_of(num_choices=2)
    reader = stream.attach(0)
    for event in events:
        stream.push(event)
    for reason in ends:
        stream.end(reason)
    stream.push(finished())
    stream.push(delta("late"))
    taken = reader.take()
    assert [seq for seq, _ in taken] == list(range(1, len(taken) + 1))
    terminals = [place for place, (_, event) in enumerate(taken) if isinstance(event, Finished | Failed)]
    assert terminals == [len(taken) - 1]
    assert stream.terminal is taken[-1][1]
    assert reader.is_at_end


async def test_silent_events_take_no_number() -> None:
    stream = stream_of(num_choices=2)
    reader = stream.attach(0)
    for event in (accepted(), delta("", 1), delta("a", 2), ChoiceFinished(JOB_ID, 1, "stop"), delta("b", 3)):
        stream.push(event)
    assert [(seq, type(event)) for seq, event in reader.take()] == [
        (1, type(accepted())),
        (2, TextDelta),
        (3, TextDelta),
    ]
    assert stream.usage() == Usage(3, 3)
    assert stream.done == {1}


async def test_readers_see_the_same_from_wherever_they_begin() -> None:
    stream = stream_of(is_resumable=True)
    for num in range(1, 11):
        stream.push(delta(f"{num} ", num))
    stream.push(finished())
    whole = stream.attach(0).take()
    for after in range(12):
        assert stream.attach(after).take() == whole[after:]
    assert stream.attach(99).take() == []


async def test_the_end_tells_what_was_made_and_stops_the_job() -> None:
    controls, told = FakeControls(), []
    stream = stream_of(controls, num_choices=3)
    stream.on_end.append(told.append)
    for event in (accepted(5), delta("a", 4, 1), ChoiceFinished(JOB_ID, 2, "stop")):
        stream.push(event)
    stream.end("cancelled")
    stream.end("deadline")
    assert stream.terminal == Finished(JOB_ID, "cancelled", Usage(5, 4), [0, 1])
    assert (controls.asked, told, stream.state) == (["cancel"], [stream], "cancelled")


async def test_deadline() -> None:
    stream = stream_of(timeout_s=0.01)
    stream.push(accepted())
    await until(lambda: stream.terminal)
    assert stream.state == "deadline"


async def test_state_goes_from_waiting_to_its_reason() -> None:
    stream = stream_of()
    states = [stream.state]
    stream.is_started = True
    states.append(stream.state)
    stream.is_paused = True
    states.append(stream.state)
    stream.push(FAILED)
    assert [*states, stream.state] == ["waiting", "running", "paused", "worker_lost"]


# Joining

PATTERN = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.booleans()), max_size=25)


@settings(deadline=None)
@given(PATTERN, st.integers(1, 3))
async def test_text_is_the_same_whatever_the_pattern_of_pushes_and_takes(
    pattern: list[tuple[int, int, bool]], num_choices: int
) -> None:
    """A reader that falls behind gets fewer events, and the same text, for every choice."""
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(join_unread_bytes=1_024), num_choices=num_choices)
    reader, taken, sent = stream.attach(0), list[tuple[int, StreamEvent]](), [""] * num_choices
    num = 0
    for index, count, takes in pattern:
        for _ in range(count):
            num += 1
            sent[index % num_choices] += f" {num}"
            stream.push(delta(f" {num}", num, index % num_choices))
        controls.deliver(stream)
        taken += reader.take() if takes else []
    stream.push(finished())
    controls.deliver(stream)
    taken += reader.take()
    assert [text_of(taken, index) for index in range(num_choices)] == sent
    assert all(earlier < later for (earlier, _), (later, _) in pairwise(taken))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.data())
async def test_who_comes_back_after_joined_events_misses_and_repeats_nothing(
    choices: list[int], data: st.DataObject
) -> None:
    controls = FakeControls()
    stream = stream_of(
        controls, settings=stream_settings(join_unread_bytes=1_024), num_choices=3, is_resumable=True
    )
    reader = stream.attach(0)
    for num, index in enumerate(choices):
        stream.push(delta(f" {num}", num, index))
        controls.deliver(stream)
    taken = reader.take()
    had = taken[: data.draw(st.integers(0, len(taken)))]
    rest = stream.attach(had[-1][0] if had else 0).take()
    for index in range(3):
        expected = "".join(f" {num}" for num, choice in enumerate(choices) if choice == index)
        assert text_of(had + rest, index) == expected


async def test_joined_tokens_keep_ids_and_counts() -> None:
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL))
    reader = stream.attach(0)
    num = 0
    for _ in range(2):
        num = fill(stream, 3_000, num)
        controls.deliver(stream)
    ((seq, event),) = reader.take()
    assert seq == num
    assert event == TextDelta(
        JOB_ID, 0, "".join(f" {i}" for i in range(1, num + 1)), list(range(1, num + 1)), num
    )


async def test_a_reader_that_keeps_up_gets_every_event() -> None:
    controls = FakeControls()
    stream = stream_of(controls)
    reader = stream.attach(0)
    for num in range(1, 500):
        stream.push(delta("x", num))
        controls.deliver(stream)
        assert len(reader.take()) == 1


async def test_joining_is_not_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: however often a reader is woken before it takes, each event is joined once."""
    joined: list[int] = []
    join = reader_module.join

    def counting(deltas: list[TextDelta]) -> TextDelta:
        joined.append(len(deltas))
        return join(deltas)

    monkeypatch.setattr(reader_module, "join", counting)
    controls = FakeControls()
    stream = stream_of(controls)
    reader, num, num_takes = stream.attach(0), 0, 20
    for _ in range(num_takes):
        for _ in range(100):
            num += 1
            stream.push(delta("x", num))
            controls.deliver(stream)
        reader.take()
    assert sum(joined) == num
    assert len(joined) == num_takes


async def test_trimming_is_not_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: entries that move when the log's head is cut, per event."""
    moved: list[int] = []
    trim_to = EventLog._trim_to

    def counting(self: EventLog, place: int) -> None:
        moved.append(len(self._entries) - place if place else 0)
        trim_to(self, place)

    monkeypatch.setattr(EventLog, "_trim_to", counting)
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL), is_resumable=True)
    reader = stream.attach(0)
    for num in range(1, 5_001):
        stream.push(delta("x", num))
        controls.deliver(stream)
        reader.take()
    assert sum(moved) < 5 * 5_000


# Backpressure


async def test_paused_when_far_behind_resumed_when_caught_up() -> None:
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL | {"stall_timeout_s": 60}))
    reader = stream.attach(0)
    fill(stream, 9_000)
    controls.deliver(stream)
    assert (controls.asked, stream.is_paused) == ([], False)
    fill(stream, 2_000)
    controls.deliver(stream)
    controls.deliver(stream)
    assert (controls.asked, stream.is_paused, stream.state) == (["pause"], True, "paused")
    assert stream.unread_bytes > 10_000
    reader.take()
    stream.check_pressure()
    assert (controls.asked, stream.is_paused) == (["pause", "resume"], False)


async def test_what_was_under_way_at_the_pause_is_kept() -> None:
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL | {"stall_timeout_s": 60}))
    reader = stream.attach(0)
    fill(stream, 11_000)
    controls.deliver(stream)
    assert controls.asked == ["pause"]
    num = fill(stream, 100_000, stream.log.seq)
    controls.deliver(stream)
    assert text_of(reader.take()) == "".join(f" {i}" for i in range(1, num + 1))


async def test_a_stalled_reader_ends_the_stream_and_its_memory_is_free() -> None:
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL))
    reader = stream.attach(0)
    fill(stream, 12_000)
    controls.deliver(stream)
    await until(lambda: stream.terminal)
    assert (stream.state, controls.asked) == ("slow_client", ["pause", "cancel"])
    assert (stream.log.kept_bytes, reader.is_dropped) == (0, True)


async def test_a_reader_that_catches_up_in_time_is_spared() -> None:
    controls = FakeControls()
    stream, other = (stream_of(controls, settings=stream_settings(**SMALL)) for _ in range(2))
    reader, _ = stream.attach(0), other.attach(0)
    for one in (stream, other):
        fill(one, 12_000)
        controls.deliver(one)
    reader.take()
    stream.check_pressure()
    await until(lambda: other.terminal)
    assert not (stream.terminal or reader.is_dropped)


async def test_a_slow_reader_beside_a_quick_one_is_dropped_alone() -> None:
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL))
    slow, quick = stream.attach(0), stream.attach(0)
    fill(stream, 12_000)
    quick.take()
    controls.deliver(stream)
    await until(lambda: slow.is_dropped)
    assert (stream.terminal, stream.is_paused, quick.is_dropped) == (None, False, False)
    assert slow.is_at_end and slow.take() == []
    stream.push(delta("more"))
    assert text_of(quick.take()) == "more"


async def test_a_slow_reader_loses_its_place_when_the_log_is_full() -> None:
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL | {"stall_timeout_s": 60}))
    slow, quick = stream.attach(0), stream.attach(0)
    for _ in range(10):
        fill(stream, 5_000, stream.log.seq)
        quick.take()
        controls.deliver(stream)
        assert stream.log.kept_bytes <= 30_000
    assert (slow.is_dropped, quick.is_dropped) == (True, False)


@pytest.mark.parametrize(("is_resumable", "limit"), [(False, 3_300), (True, 30_300)])
async def test_the_log_is_bounded(is_resumable: bool, limit: int) -> None:
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL), is_resumable=is_resumable)
    reader = stream.attach(0)
    for num in range(1, 1_000):
        stream.push(delta("x", num))
        controls.deliver(stream)
        reader.take()
        stream.check_pressure()
        assert stream.log.kept_bytes <= limit
    with pytest.raises(Expired) as caught:
        stream.attach(0)
    assert (caught.value.status, caught.value.code) == (410, "stream_expired")
    assert stream.attach(stream.log.seq).take() == []


# Readers who go


async def test_attached_ends_with_its_last_reader() -> None:
    controls = FakeControls()
    stream = stream_of(controls)
    first, second = stream.attach(0), stream.attach(0)
    stream.push(delta("x"))
    stream.detach(first)
    assert not stream.terminal
    stream.detach(second)
    assert (stream.state, controls.asked, stream.log.kept_bytes) == ("client_gone", ["cancel"], 0)


async def test_a_dropped_last_reader_was_too_slow() -> None:
    stream = stream_of()
    reader = stream.attach(0)
    reader.drop()
    stream.detach(reader)
    assert stream.state == "slow_client"


async def test_resumable_lives_for_its_time_then_is_gone() -> None:
    controls = FakeControls()
    stream = stream_of(controls, settings=stream_settings(**SMALL), is_resumable=True)
    stream.detach(stream.attach(0))
    stream.push(delta("x"))
    assert not stream.terminal
    await until(lambda: stream.terminal)
    assert (stream.state, controls.asked) == ("client_gone", ["cancel"])
    assert text_of(stream.attach(0).take()) == "x"


async def test_who_comes_back_in_time_keeps_it_alive() -> None:
    stream, other = (stream_of(settings=stream_settings(**SMALL), is_resumable=True) for _ in range(2))
    stream.detach(stream.attach(0))
    reader = stream.attach(0)
    other.detach(other.attach(0))
    await until(lambda: other.terminal)
    assert not stream.terminal
    stream.push(delta("x"))
    assert text_of(reader.take()) == "x"


async def test_without_a_reader_it_goes_on_until_the_log_is_full() -> None:
    """Also one that was paused for the reader that has gone."""
    controls = FakeControls()
    patient = SMALL | {"resume_ttl": 60, "stall_timeout_s": 60}
    stream = stream_of(controls, settings=stream_settings(**patient), is_resumable=True)
    reader = stream.attach(0)
    fill(stream, 12_000)
    controls.deliver(stream)
    stream.detach(reader)
    assert controls.asked == ["pause", "resume"]
    num = fill(stream, 12_000, stream.log.seq)
    controls.deliver(stream)
    assert controls.asked == ["pause", "resume", "pause"]
    back = stream.attach(0)
    assert text_of(back.take()) == "".join(f" {i}" for i in range(1, num + 1))
    stream.check_pressure()
    assert controls.asked == ["pause", "resume", "pause", "resume"]


async def test_a_finished_stream_frees_its_log_with_its_last_reader_unless_resumable() -> None:
    for is_resumable in (False, True):
        stream = stream_of(is_resumable=is_resumable)
        reader = stream.attach(0)
        stream.push(delta("x"))
        stream.push(finished())
        reader.take()
        stream.detach(reader)
        assert bool(stream.log.kept_bytes) is is_resumable


async def test_waiting_readers_are_woken() -> None:
    controls = FakeControls()
    stream = stream_of(controls)
    reader = stream.attach(0)

    async def read(wait: Callable[[], object]) -> None:
        await wait()  # type: ignore[misc]

    waits = [asyncio.create_task(read(wait)) for wait in (reader.wait_accepted, reader.wait)]
    stream.push(accepted())
    stream.notify()
    await asyncio.gather(*waits)
    assert reader.take()


async def test_a_reader_that_raises_hurts_no_other() -> None:
    def fail() -> None:
        if not bad.is_dropped:
            raise RuntimeError("broken")

    controls = FakeControls()
    stream, other = stream_of(controls), stream_of(controls)
    woken: list[Reader] = []
    bad = stream.attach(0, fail)
    good = stream.attach(0, lambda: woken.append(good))
    beside = other.attach(0, lambda: woken.append(beside))
    stream.push(delta("x"))
    controls.deliver(stream, other)
    assert set(woken) == {good, beside}
    assert bad.is_dropped
