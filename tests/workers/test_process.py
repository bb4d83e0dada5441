"""A worker's whole life in a process of its own, seen through its pipes."""

import os
import select
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from config.command_line import load
from tests.workers.pipes import submit
from workers.messages import Bye, EventBatch, Finished, Heartbeat, Ready, Report, Stop, decode_report
from workers.process import WorkerSpec, main
from workers.queues import EndOfPipe, FrameReader, FrameWriter

TIMEOUT_S = 60.0


class Worker:
    """A spawned worker of one echo model."""

    def __init__(self, *flags: str) -> None:
        settings = load(["--model", "echo", "--set", "model_defaults.engine=echo", *flags], {})
        spec = WorkerSpec("echo", settings.models["echo"], settings.log, 1, 0.05)
        context = get_context("spawn")
        commands_r, commands_w = context.Pipe(duplex=False)
        reports_r, reports_w = context.Pipe(duplex=False)
        self.process = context.Process(target=main, args=(spec, commands_r, reports_w))
        self.process.start()
        commands_r.close()
        reports_w.close()
        self.commands, self.reader = FrameWriter(commands_w), FrameReader(reports_r)
        self.reports: list[Report] = []

    def read_until(self, kind: type[Report]) -> Report:
        """Read reports until one of that kind has come; return it. Raises EndOfPipe at the end."""
        while not any(isinstance(report, kind) for report in self.reports):
            assert select.select([self.reader], [], [], TIMEOUT_S)[0]
            for frame in self.reader.read():
                self.reports.append(decode_report(frame))
        return next(report for report in self.reports if isinstance(report, kind))

    def exit_status(self) -> int | None:
        self.process.join(TIMEOUT_S)
        return self.process.exitcode

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.process.close()
        self.reader.close()
        self.commands.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def test_yields_the_processor_as_its_model_says() -> None:
    worker = Worker("--set", "model_defaults.nice=7")
    try:
        worker.read_until(Ready)
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, worker.process.pid or 0) == min(19, usual + 7)
    finally:
        worker.close()


def test_ready_work_stop(worker: Worker) -> None:
    ready = worker.read_until(Ready)
    assert isinstance(ready, Ready) and ready.limits.description == "echo"
    worker.commands.put(submit(1, "a b"))
    worker.read_until(EventBatch)
    while not any(isinstance(event, Finished) for event in events(worker)):
        worker.reports += [decode_report(frame) for frame in worker.reader.read()]
    worker.read_until(Heartbeat)
    worker.commands.put(Stop())
    assert worker.read_until(Bye) == Bye(None)
    assert worker.exit_status() == 0


def events(worker: Worker) -> list[object]:
    return [event for report in worker.reports if isinstance(report, EventBatch) for event in report.events]


def test_leaves_when_the_service_is_gone(worker: Worker) -> None:
    worker.read_until(Ready)
    worker.commands.close()
    assert worker.exit_status() == 0


def test_leaves_when_nobody_reads_any_more(worker: Worker) -> None:
    worker.read_until(Ready)
    worker.reader.close()
    assert worker.exit_status() == 0


def test_killed_its_pipe_ends_at_once(worker: Worker) -> None:
    worker.read_until(Ready)
    worker.process.kill()
    with pytest.raises(EndOfPipe):
        worker.read_until(Bye)


def test_what_cannot_be_loaded_is_said_in_one_line() -> None:
    worker = Worker("--set", "models.echo.path=nonsense")
    try:
        bye = worker.read_until(Bye)
        assert isinstance(bye, Bye)
        assert bye.error == "echo: unknown variant 'nonsense'; there is: echo, clock, echo@N, clock@N"
        assert worker.exit_status() == 1
    finally:
        worker.close()


def test_holds_no_pipe_of_its_siblings(worker: Worker) -> None:
    """A sibling that inherited a write end would hide the end of file."""
    other = Worker()
    try:
        other.read_until(Ready)
        assert not pipes_of(other.process.pid) & {name(worker.commands), name(worker.reader)}
        assert pipes_of(worker.process.pid) >= {name(worker.commands), name(worker.reader)}
    finally:
        other.close()


def name(end: FrameWriter | FrameReader) -> str:
    return f"pipe:[{os.fstat(end.fileno()).st_ino}]"


def pipes_of(pid: int | None) -> set[str]:
    """The pipes that a process has open."""
    return {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
