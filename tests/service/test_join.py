"""What a reader gets that has fallen behind."""

from config.command_line import load
from service.dialects.tasks import TaskDialect
from service.job import Job
from service.streams import Stream
from tests.service.test_pause import Controls
from workers.messages import Accepted, Finished, Item, Progress, TaskWork, Usage

VALUE = b'"' + b"x" * 1_000 + b'"'
NUM_ITEMS = 20


def task_stream() -> Stream:
    job = Job(
        id=1, key="anyone", route="/tasks/t", model="tasks", work=TaskWork("t", b"{}"), request_id="req_1"
    )
    stream = Stream(job, TaskDialect(job.stream_id), Controls(), load([], {}).streams)
    stream.push(Accepted(1, 0))
    return stream


def feed(stream: Stream) -> None:
    for i in range(NUM_ITEMS):
        stream.push(Progress(1, i, NUM_ITEMS))
        stream.push(Item(1, VALUE))
        stream.notify()


async def test_items_are_kept_whole_and_progress_is_the_newest() -> None:
    stream = task_stream()
    reader = stream.attach(0)
    feed(stream)
    events = reader.take()
    assert sum(isinstance(event, Item) for _, event in events) == NUM_ITEMS
    assert [event for _, event in events if isinstance(event, Progress)] == [
        Progress(1, NUM_ITEMS - 1, NUM_ITEMS)
    ]
    seqs = [seq for seq, _ in events]
    assert seqs == sorted(set(seqs)) and seqs[-1] == stream.log.seq
    stream.detach(reader)


async def test_a_reader_that_keeps_up_gets_all_progress() -> None:
    stream = task_stream()
    taken = []
    reader = stream.attach(0)
    reader.on_wake = lambda: taken.extend(reader.take())
    feed(stream)
    assert sum(isinstance(event, Progress) for _, event in taken) == NUM_ITEMS
    assert stream.usage() == Usage(num_items=NUM_ITEMS)
    stream.end("cancelled")
    assert stream.terminal == Finished(1, "cancelled", Usage(num_items=NUM_ITEMS), [])
    assert stream.summary()["items"] == NUM_ITEMS
    stream.detach(reader)
