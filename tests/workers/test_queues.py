"""The pipes: whole frames however they are cut, no waiting, no loss, a clean end."""

import os
import threading
from multiprocessing import Pipe

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.pipes import Ends, submit
from workers.messages import Bye, Cancel, Command, Heartbeat, Pause, Stats, Stop, encode
from workers.queues import HEADER, EndOfPipe, FrameReader

BIG = "x" * 1_000_000


def frames(*bodies: bytes) -> bytes:
    return b"".join(HEADER.pack(len(body)) + body for body in bodies)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=8), st.data())
def test_frames_split_anywhere_come_whole(bodies: list[bytes], data: st.DataObject) -> None:
    read_end, write_end = Pipe(duplex=False)
    stream, reader, seen = frames(*bodies), FrameReader(read_end), []
    with read_end, write_end:
        while stream:
            size = data.draw(st.integers(1, len(stream)))
            os.write(write_end.fileno(), stream[:size])
            stream = stream[size:]
            seen += reader.read()
    assert seen == bodies


def test_nothing_to_read_is_no_end(ends: Ends) -> None:
    assert list(ends.reports.read()) == []


def test_commands_arrive_in_order(ends: Ends) -> None:
    sent: list[Command] = [submit(1), Pause(1), Cancel(1), Stop()]
    ends.put(*sent)
    assert list(ends.worker.take(1.0)) == sent


def test_frames_larger_than_the_pipe(ends: Ends) -> None:
    """They wait here, are counted, and leave as there is room."""
    ends.put(submit(1, BIG), submit(2, BIG))
    assert 1_500_000 < ends.commands.num_unsent_bytes < 2_100_000
    taken: list[Command] = []
    while len(taken) < 2:
        taken += ends.worker.take(1.0)
        ends.commands.flush()
    assert taken == [submit(1, BIG), submit(2, BIG)]
    assert ends.commands.num_unsent_bytes == 0
    assert ends.commands.flush()


def test_cancel_overtakes_what_waits_but_tears_no_frame(ends: Ends) -> None:
    ends.put(submit(1, BIG), submit(2, BIG))
    ends.commands.put(Cancel(9), is_urgent=True)
    taken: list[Command] = []
    while len(taken) < 3:
        taken += ends.worker.take(1.0)
        ends.commands.flush()
    assert taken == [submit(1, BIG), Cancel(9), submit(2, BIG)]


def test_withdraw_takes_back_only_what_has_not_begun_to_leave(ends: Ends) -> None:
    for command in (submit(1, BIG), submit(2, BIG), submit(3)):
        ends.commands.put(command, tag=command.job_id)
    assert not ends.commands.withdraw(1)
    assert ends.commands.withdraw(2)
    assert not ends.commands.withdraw(2)
    assert not ends.commands.withdraw(7)
    taken: list[Command] = []
    while len(taken) < 2:
        taken += ends.worker.take(1.0)
        ends.commands.flush()
    assert taken == [submit(1, BIG), submit(3)]
    assert ends.commands.num_unsent_bytes == 0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["put", "urgent", "withdraw", "read"]), st.integers(0, 200_000))))
def test_any_order_of_calls_loses_nothing(calls: list[tuple[str, int]]) -> None:
    ends, expected, taken = Ends(), set(), []
    try:
        for job_id, (call, size) in enumerate(calls):
            if call == "put":
                ends.commands.put(submit(job_id, "x" * size), tag=job_id)
                expected.add((job_id, size))
            elif call == "urgent":
                ends.commands.put(Cancel(job_id), is_urgent=True)
                expected.add((job_id, -1))
            elif call == "withdraw" and job_id:
                target = size % job_id
                if ends.commands.withdraw(target):
                    expected = {pair for pair in expected if pair[0] != target}
            else:
                taken += ends.worker.take(0)
                ends.commands.flush()
        while ends.commands.num_unsent_bytes or (more := list(ends.worker.take(0))):
            taken += list(ends.worker.take(0)) if ends.commands.num_unsent_bytes else more
            ends.commands.flush()
    finally:
        ends.close()
    seen = [(c.job_id, -1 if isinstance(c, Cancel) else len(c.work.prompts[0].text)) for c in taken]  # type: ignore[union-attr]
    assert len(seen) == len(set(seen))
    assert set(seen) == expected
    assert ends.commands.num_unsent_bytes == 0


def test_death_is_an_end_of_file_after_the_last_report(ends: Ends) -> None:
    ends.worker.put(Heartbeat(Stats()))
    ends.worker.put(Bye(None))
    ends.close_worker()
    frames: list[bytes] = []
    with pytest.raises(EndOfPipe):
        while True:
            frames += ends.reports.read()
    assert frames == [encode(Heartbeat(Stats())), encode(Bye(None))]


def test_a_torn_last_frame_is_dropped(ends: Ends) -> None:
    ends.worker.put(Bye("x" * 200_000))
    ends.close_worker()
    seen = []
    with pytest.raises(EndOfPipe):
        while True:
            seen += ends.reports.read()
    assert seen == []


def test_writing_to_the_dead_says_so(ends: Ends) -> None:
    ends.close_worker()
    with pytest.raises(EndOfPipe):
        ends.put(Stop())


def test_the_service_is_gone(ends: Ends) -> None:
    ends.commands.close()
    with pytest.raises(EndOfPipe):
        list(ends.worker.take(5.0))
    ends.reports.close()
    with pytest.raises(EndOfPipe):
        ends.worker.put(Bye(None))


def test_a_full_outbox_leaves_when_it_is_read(ends: Ends) -> None:
    ends.worker.put(Bye(BIG))
    assert not ends.worker.has_room()
    assert list(ends.worker.take(0)) == []
    waiting = threading.Thread(target=ends.worker.finish, args=(20.0,))
    waiting.start()
    taken: list[object] = []
    while not taken:
        taken = list(ends.taken())
    waiting.join()
    assert taken == [Bye(BIG)]
    assert ends.worker.has_room()


def test_last_words_that_nobody_reads_do_not_hold_up_the_end(ends: Ends) -> None:
    ends.worker.put(Bye(BIG))
    ends.worker.finish(0.01)
    assert not ends.worker.has_room()


def test_waiting_for_commands_ends_when_there_is_room(ends: Ends) -> None:
    """Not after the timeout: the engine stands still until the reports have left."""
    ends.worker.put(Bye(BIG))
    reading = threading.Thread(target=ends.taken)
    reading.start()
    assert list(ends.worker.take(60.0)) == []
    reading.join()
