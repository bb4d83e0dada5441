"""What the dispatcher does with what workers say, without workers."""

from typing import Any

import pytest

from config.command_line import load
from service.catalogue import Catalogue
from service.dialects.native import GenerateDialect
from service.dispatcher import Dispatcher
from service.errors import Unavailable
from service.job import Job
from service.metrics import Metrics
from service.sockets.registry import Sockets
from service.stores.memory import MemoryStore
from service.streams import Stream
from service.turn import Turn
from tests.service.fakes import delta, finished, job_of, until
from workers.messages import Accepted, Cancel, Command, EventBatch, Failed, Started, Submit, Usage


class FakeLink:
    def __init__(self) -> None:
        self.jobs: dict[int, Stream] = {}
        self.commands: list[Command] = []
        self.num_unsent_bytes = 0
        self.error = "gone"

    def submit(self, stream: Stream, command: Submit) -> None:
        self.jobs[command.job_id] = stream
        self.commands.append(command)

    def cancel(self, command: Cancel) -> None:
        self.commands.append(command)

    def send(self, command: Command) -> None:
        self.commands.append(command)


class FakeSupervisor:
    is_leaving = False

    def __init__(self) -> None:
        self.links = [FakeLink()]

    def ready_links(self, _model: str) -> list[FakeLink]:
        return self.links

    def complaints(self) -> list[str]:
        return ["loading"]

    def summary(self) -> list[dict[str, Any]]:
        return []

    async def wait_ready(self, _model: str) -> None:
        await until(lambda: self.links)


class House:
    def __init__(self, *flags: str) -> None:
        echo = ("--model", "echo", "--set", "model_defaults.engine=echo")
        settings = load([*echo, "--set", "streams.retry_backoff_s=0.001", *flags], {})
        self.supervisor: Any = FakeSupervisor()
        self.catalogue = Catalogue(settings.streams)
        metrics = Metrics(
            self.catalogue, self.supervisor, Sockets(settings.sockets, []), MemoryStore(settings.store)
        )
        self.dispatcher = Dispatcher(settings, self.supervisor, self.catalogue, metrics, Turn())

    @property
    def link(self) -> Any:
        return self.supervisor.links[0]

    def submit(self, job: Job) -> Stream:
        return self.dispatcher.submit(job, GenerateDialect(job.stream_id))

    def say(self, *events: Any) -> None:
        self.dispatcher.take(self.link, EventBatch(list(events)))


def numbered(job_id: int, **facts: Any) -> Job:
    job = job_of(**facts)
    job.id = job_id
    return job


async def test_a_failure_keeps_the_usage_that_the_engine_could_not_tell() -> None:
    house = House()
    stream = house.submit(numbered(7))
    house.say(Accepted(7, 3), Started(7), delta("a", 1), delta("b", 2))
    house.say(Failed(7, "engine_failed", "boom", None, Usage()))
    assert stream.terminal == Failed(7, "engine_failed", "boom", None, Usage(3, 2))
    assert (house.link.jobs, house.catalogue.open_streams()) == ({}, [])


async def test_a_lost_worker_fails_each_of_its_jobs_once() -> None:
    house = House()
    streams = [house.submit(numbered(job_id)) for job_id in (1, 2)]
    lost = house.link
    house.say(Accepted(1, 3))
    house.dispatcher.lose(lost)
    house.dispatcher.lose(lost)
    assert [stream.state for stream in streams] == ["worker_lost"] * 2
    assert not house.catalogue.open_streams()


async def test_events_of_unknown_and_ended_jobs_are_ignored() -> None:
    house = House()
    stream = house.submit(numbered(7))
    house.say(Accepted(99, 1), Failed(99, "engine_failed", "x", None, Usage()))
    stream.end("cancelled")
    house.say(delta("late"), finished())
    assert (stream.state, stream.log.seq) == ("cancelled", 1)
    assert house.link.commands[-1] == Cancel(7)
    assert house.link.jobs == {}


async def test_a_retried_job_goes_on_after_what_was_sent() -> None:
    house = House()
    stream = house.submit(numbered(7, max_retries=1))
    house.say(Accepted(7, 3), delta("a", 1), delta("b", 2))
    first = house.link
    house.supervisor.links = []
    house.dispatcher.lose(first)
    assert not stream.terminal
    house.supervisor.links = [FakeLink()]
    await until(lambda: house.link.commands)
    assert house.link.commands[0].work.generated == [[1, 2]]
    house.say(Accepted(7, 3), finished(num_tokens=3))
    assert stream.state == "stop"


async def test_a_retried_job_whose_stream_has_ended_is_not_run() -> None:
    house = House()
    stream, other = house.submit(numbered(7, max_retries=1)), house.submit(numbered(8, max_retries=1))
    first = house.link
    house.supervisor.links = []
    house.dispatcher.lose(first)
    stream.end("cancelled")
    house.supervisor.links = [FakeLink()]
    await until(lambda: house.link.jobs)
    assert list(house.link.jobs) == [8]
    other.end("cancelled")


async def test_full_says_what_is_full() -> None:
    house = House("--set=models.echo.max_num_seqs=1", "--set=models.echo.max_waiting=1")
    for job_id in (1, 2):
        house.submit(numbered(job_id))
    with pytest.raises(Unavailable, match=r"2 jobs .* >= 2 .*max_waiting") as caught:
        house.submit(numbered(3))
    assert (caught.value.code, caught.value.status) == ("queue_full", 503)
    assert caught.value.retry_after_s
    house.link.jobs.clear()
    house.link.num_unsent_bytes = 1 << 30
    with pytest.raises(Unavailable, match=r"1073741824 bytes .* > 16777216 .*max_unsent_bytes"):
        house.submit(numbered(4))
    house.supervisor.links = []
    with pytest.raises(Unavailable, match="loading") as caught:
        house.submit(numbered(5))
    assert caught.value.code == "model_not_ready"
    assert house.catalogue.num_open("anyone") == 2
