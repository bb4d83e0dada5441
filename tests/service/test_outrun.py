"""Several readers of one stream: who is behind loses his place alone, who is not loses nothing."""

from service.events import StreamEvent
from service.reader import Reader
from service.streams import Stream
from tests.service.fakes import FakeControls, delta, finished, stream_of, stream_settings, until
from workers.messages import TextDelta

MAX_LOG_BYTES = 20_000
BOUNDS = {
    "join_unread_bytes": 2_000,
    "low_unread_bytes": 4_000,
    "max_unread_bytes": 10_000,
    "max_log_bytes": MAX_LOG_BYTES,
    "stall_timeout_s": 60,
    "resume_ttl": 60,
}


def resumable(controls: FakeControls, **changed: float) -> Stream:
    return stream_of(controls, settings=stream_settings(**BOUNDS | changed), is_resumable=True)


def fill(stream: Stream, num_bytes: int) -> None:
    """Push tokens, each of which is its number, until so many more bytes are logged."""
    goal = stream.log.num_bytes + num_bytes
    while stream.log.num_bytes < goal:
        stream.push(delta(f" {stream.log.seq + 1}"))


def has_all(events: list[tuple[int, StreamEvent]], stream: Stream) -> bool:
    text = "".join(event.text for _, event in events if isinstance(event, TextDelta))
    return text == "".join(f" {num}" for num in range(1, stream.log.seq + 1))


def gulp(reader: Reader, into: list[tuple[int, StreamEvent]]) -> None:
    into += reader.take()


async def test_who_begins_at_the_live_end_has_outrun_nobody() -> None:
    """More than a whole log was under way when the job was paused for the only reader."""
    controls = FakeControls()
    stream = resumable(controls)
    reader = stream.attach(0)
    fill(stream, 5 * MAX_LOG_BYTES)
    controls.deliver(stream)
    newcomer = stream.attach(99_999)
    newcomer.take()
    controls.deliver(stream)
    assert controls.asked == ["pause", "resume"]
    assert not (reader.is_dropped or newcomer.is_dropped)
    assert has_all(reader.take(), stream)


async def test_one_batch_however_large_outruns_nobody() -> None:
    """The other's socket was full for one turn."""
    controls = FakeControls()
    stream = resumable(controls)
    busy, quick = stream.attach(0), stream.attach(0)
    fill(stream, 1_000)
    for reader in (busy, quick):
        reader.take()
    position = busy.position
    fill(stream, 5 * MAX_LOG_BYTES)
    quick.take()
    controls.deliver(stream)
    assert not busy.is_dropped
    assert busy.take()[0][0] == position + 1
    assert not stream.is_paused


async def test_what_one_took_a_log_ago_is_lost_to_the_other() -> None:
    controls = FakeControls()
    stream = resumable(controls)
    slow, quick = stream.attach(0), stream.attach(0)
    taken: list[tuple[int, StreamEvent]] = []
    quick.on_wake = lambda: gulp(quick, taken)
    for _ in range(10):
        fill(stream, MAX_LOG_BYTES // 4)
        controls.deliver(stream)
        assert slow.is_dropped is (slow.position + 1 < stream.log.first_seq)
        assert stream.log.kept_bytes < 2 * MAX_LOG_BYTES
    assert slow.is_dropped and slow.take() == [] and slow.is_at_end
    assert has_all(taken, stream)
    assert controls.asked == []


async def test_of_two_slow_ones_the_second_ends_the_stream() -> None:
    controls = FakeControls()
    stream = resumable(controls, stall_timeout_s=0.02)
    first, second = stream.attach(0), stream.attach(0)
    fill(stream, 12_000)
    controls.deliver(stream)
    await until(lambda: stream.terminal)
    assert stream.state == "slow_client"
    assert first.is_dropped is not second.is_dropped
    assert controls.asked == ["pause", "cancel"]
    kept = second if first.is_dropped else first
    assert [event for _, event in kept.take()][-1] is stream.terminal


async def test_who_is_dropped_no_longer_holds_the_stream() -> None:
    """His socket may be full for a long time yet: nothing waits for him, and he ends nothing twice."""
    controls = FakeControls()
    attached, kept = stream_of(controls), resumable(controls, resume_ttl=0.02)
    for stream in (attached, kept):
        slow, quick = stream.attach(0), stream.attach(0)
        slow.drop()
        slow.drop()
        stream.push(delta("x"))
        assert quick.take()
        stream.detach(quick)
        if stream is kept:
            assert not stream.terminal
            await until(lambda: kept.terminal)
        assert stream.state == "client_gone"
        stream.detach(slow)
    assert controls.asked == ["cancel", "cancel"]


async def test_left_with_a_full_log_it_goes_on_and_can_be_resumed() -> None:
    """What the last reader took makes room for what comes; half a log of it stays for his return."""
    controls = FakeControls()
    stream = resumable(controls)
    reader = stream.attach(0)
    while stream.log.kept_bytes <= MAX_LOG_BYTES:
        fill(stream, 1_000)
        controls.deliver(stream)
        reader.take()
    had = reader.position
    stream.detach(reader)
    assert not stream.is_paused
    assert stream.log.kept_bytes >= MAX_LOG_BYTES // 2
    while not stream.is_paused:
        fill(stream, 1_000)
        controls.deliver(stream)
        assert stream.log.kept_bytes < MAX_LOG_BYTES + 2_000
    assert stream.attach(had - 30).take()[0][0] == had - 29
    stream.check_pressure()
    assert controls.asked == ["pause", "resume"]


async def test_a_visitor_who_takes_nothing_costs_the_one_who_left_nothing() -> None:
    controls = FakeControls()
    stream = resumable(controls)
    stream.detach(stream.attach(0))
    fill(stream, 3 * MAX_LOG_BYTES)
    controls.deliver(stream)
    assert controls.asked == ["pause"]
    stream.detach(stream.attach(99_999))
    controls.deliver(stream)
    assert has_all(stream.attach(0).take(), stream)


async def test_the_end_reaches_each_reader_once() -> None:
    controls = FakeControls()
    stream = resumable(controls)
    readers = [stream.attach(0) for _ in range(3)]
    taken: dict[Reader, list[tuple[int, StreamEvent]]] = {reader: [] for reader in readers}
    for reader in readers[:2]:
        reader.on_wake = lambda reader=reader: gulp(reader, taken[reader])
    for _ in range(10):
        fill(stream, MAX_LOG_BYTES // 4)
        controls.deliver(stream)
    stream.push(finished())
    controls.deliver(stream)
    assert [sum(event is stream.terminal for _, event in taken[r]) for r in readers] == [1, 1, 0]
    assert [reader.is_dropped for reader in readers] == [False, False, True]
