"""One life of one worker process, as the service sees it: its pipes, its jobs, its end."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from typing import Literal

import msgspec

from service.streams import Stream
from workers import process
from workers.messages import (
    Bye,
    Cancel,
    Command,
    EventBatch,
    Heartbeat,
    JobId,
    Limits,
    Ready,
    Report,
    Stats,
    Submit,
    decode_report,
)
from workers.process import WorkerSpec
from workers.queues import EndOfPipe, FrameReader, FrameWriter

log = logging.getLogger(__name__)

State = Literal["loading", "ready", "lost"]

WITHOUT_A_WORD = "its process ended without a word"
JOIN_POLL_S = 0.02


class WorkerLink:
    """Starts a worker with `spawn` and talks to it. `on_lost` is called once, however it ends.

    `jobs` are those the worker has not said the end of, also ones whose stream has ended here.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        on_batch: Callable[["WorkerLink", EventBatch], None],
        on_ready: Callable[["WorkerLink"], None],
        on_lost: Callable[["WorkerLink"], None],
    ) -> None:
        self.spec = spec
        self.state: State = "loading"
        self.limits: Limits | None = None
        self.stats = Stats()
        self.error: str | None = None
        self.jobs: dict[JobId, Stream] = {}
        self.started_at = self.last_report_at = time.monotonic()
        self._on_batch, self._on_ready, self._on_lost = on_batch, on_ready, on_lost
        self._loop = asyncio.get_running_loop()
        self._is_writing = False
        self._start()

    def _start(self) -> None:
        # A forked sibling would inherit the write end of the pipe and hide its end-of-file.
        context = get_context("spawn")
        commands_r, commands_w = context.Pipe(duplex=False)
        reports_r, reports_w = context.Pipe(duplex=False)
        arguments = (self.spec, commands_r, reports_w)
        self.process = context.Process(
            target=process.main, args=arguments, name=f"sluice-{self.spec.model_name}"
        )
        self.process.start()
        commands_r.close()
        reports_w.close()
        self._reader, self._writer = FrameReader(reports_r), FrameWriter(commands_w)
        self._loop.add_reader(self._reader.fileno(), self._read)

    @property
    def num_unsent_bytes(self) -> int:
        return self._writer.num_unsent_bytes

    def submit(self, stream: Stream, command: Submit) -> None:
        self.jobs[command.job_id] = stream
        self._put(command, tag=command.job_id)

    def cancel(self, command: Cancel) -> None:
        """Overtake what waits; a submit that has not left yet is taken back instead."""
        if self._writer.withdraw(command.job_id):
            del self.jobs[command.job_id]
        else:
            self._put(command, is_urgent=True)

    def send(self, command: Command) -> None:
        """Queue a command behind those that wait."""
        self._put(command)

    def _put(self, command: Command, *, tag: JobId | None = None, is_urgent: bool = False) -> None:
        if self.state == "lost":
            return
        # A closed pipe means that the process is ending: the reader hears its last words, then the end.
        with suppress(EndOfPipe):
            self._writer.put(command, tag=tag, is_urgent=is_urgent)
            self._watch_room()

    def kill(self, why: str) -> None:
        """End the process at once."""
        if self.state != "lost":
            self.process.kill()
            self._lose(why)

    def check_alive(self) -> None:
        """Notice a death that the pipe hides, because a process that the worker started holds it open."""
        if self.state != "lost" and not self.process.is_alive():
            # One read takes all that a pipe can hold: its last words.
            self._read()
            self._lose(WITHOUT_A_WORD)

    async def join(self, timeout_s: float) -> None:
        """Wait for the process to be gone; past the time it is killed.

        It is asked for: `Process.join` with a timeout waits for the end of a pipe, which can be hidden too.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.process.is_alive():  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(JOIN_POLL_S)
                return
        self.process.kill()
        await asyncio.to_thread(self.process.join)

    def _watch_room(self) -> None:
        if self._writer.num_unsent_bytes and not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._writer.fileno(), self._flush)

    def _flush(self) -> None:
        is_done = True
        with suppress(EndOfPipe):
            is_done = self._writer.flush()
        if is_done:
            self._is_writing = False
            self._loop.remove_writer(self._writer.fileno())

    def _read(self) -> None:
        self.last_report_at = time.monotonic()
        try:
            for frame in self._reader.read():
                self._take(decode_report(frame))
        except EndOfPipe:
            self._lose(self.error or WITHOUT_A_WORD)
        except msgspec.MsgspecError as error:
            self.kill(f"it sent what is no report: {error}")

    def _take(self, report: Report) -> None:
        match report:
            case EventBatch():
                self._on_batch(self, report)
            case Heartbeat(stats):
                self.stats = stats
            case Ready(limits):
                self.limits, self.state = limits, "ready"
                self._on_ready(self)
            case Bye(error):
                self.error = error

    def _lose(self, why: str) -> None:
        if self.state == "lost":
            return
        self.state, self.error = "lost", self.error or why
        self._loop.remove_reader(self._reader.fileno())
        self._loop.remove_writer(self._writer.fileno())
        self._reader.close()
        with suppress(OSError):
            self._writer.close()
        self._on_lost(self)
