"""A pair of pipes with both ends in the test's own process."""

from multiprocessing import Pipe

from workers.messages import (
    Command,
    EventBatch,
    Report,
    Sampling,
    Submit,
    TextPrompt,
    TextWork,
    decode_report,
)
from workers.queues import FrameReader, FrameWriter, WorkerEnd


class Ends:
    """`worker` is the worker's end; `commands` and `reports` are the service's sides of the pipes."""

    def __init__(self) -> None:
        commands_r, commands_w = Pipe(duplex=False)
        reports_r, reports_w = Pipe(duplex=False)
        self.commands, self.reports = FrameWriter(commands_w), FrameReader(reports_r)
        self.worker = WorkerEnd(commands_r, reports_w)
        self._worker_connections = (commands_r, reports_w)

    def put(self, *commands: Command) -> None:
        for command in commands:
            self.commands.put(command)

    def taken(self) -> list[Report]:
        """The reports that have come."""
        return [decode_report(frame) for frame in self.reports.read()]

    def events(self) -> list[object]:
        return [event for report in self.taken() if isinstance(report, EventBatch) for event in report.events]

    def close_worker(self) -> None:
        """As the death of the worker's process does."""
        for connection in self._worker_connections:
            connection.close()

    def close(self) -> None:
        self.close_worker()
        self.commands.close()
        self.reports.close()


def submit(job_id: int, text: str = "one two three", **sampling: object) -> Submit:
    wishes = Sampling(**({"max_tokens": 100} | sampling))  # type: ignore[arg-type]
    return Submit(job_id, TextWork([TextPrompt(text)], wishes))
