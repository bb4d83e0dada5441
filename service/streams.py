"""Station "stream": one job's events in order, its log, its readers.

push -> log -> readers      numbered from 1; nothing follows the one terminal event
readers behind -> join -> pause the job -> end as `slow_client`
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from config.settings import StreamSettings
from service.dialects.dialect import Dialect
from service.errors import Expired
from service.event_log import EventLog
from service.events import StreamEvent, Terminal, num_text_bytes, num_value_bytes, reason_of
from service.job import Job
from service.reader import Reader
from service.retention import Retention
from workers.messages import (
    Accepted,
    ChoiceFinished,
    Failed,
    Finished,
    Images,
    ImageStep,
    Item,
    PipelineWork,
    StageResult,
    TextDelta,
    Usage,
)

log = logging.getLogger(__name__)

# What a logged event occupies beside its text: struct, string, list and ids, as measured.
EVENT_BYTES = 256


class Controls(Protocol):
    """What a stream asks of whoever runs its job. `touch` asks for `wake`, then `check_pressure`."""

    def cancel(self, stream: "Stream") -> None: ...
    def pause(self, stream: "Stream") -> None: ...
    def resume(self, stream: "Stream") -> None: ...
    def touch(self, stream: "Stream") -> None: ...


class Stream:
    """One job as the service sees it.

    Readers attach at any seq that is still logged. An attached stream ends when its last reader
    goes; a resumable one goes on into its log for `resume_ttl` seconds.
    """

    def __init__(self, job: Job, dialect: Dialect, controls: Controls, settings: StreamSettings) -> None:
        self.job = job
        self.dialect = dialect
        self.settings = settings
        self.opened_at = time.monotonic()
        self.log = EventLog()
        self.terminal: Terminal | None = None
        self.prompt_tokens = 0
        self.num_tokens = [0] * job.work.num_choices
        self.num_items = 0
        self.done: set[int] = set()
        self.is_accepted = False
        self.is_started = False
        self.is_paused = False
        self.last_event_at = 0.0
        self.on_end: list[Callable[[Stream], None]] = []
        self._controls = controls
        self._retention = Retention(self.log, settings, is_resumable=job.is_resumable)
        self._is_pressed = False
        self._readers: set[Reader] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._start_deadline()

    # Facts

    @property
    def id(self) -> str:
        return self.job.stream_id

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.opened_at

    @property
    def unread_bytes(self) -> int:
        """How far the reader that is furthest along lags behind."""
        return min((reader.unread_bytes for reader in self._readers), default=0)

    @property
    def state(self) -> str:
        if self.terminal:
            return reason_of(self.terminal)
        if self.is_paused:
            return "paused"
        return "running" if self.is_started else "waiting"

    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, sum(self.num_tokens), self.num_items)

    def summary(self) -> dict[str, object]:
        """What `/streams` and `/metrics` say of it."""
        return {
            "id": self.id,
            "route": self.job.route,
            "model": self.job.model,
            "state": self.state,
            "seq": self.log.seq,
            "age": round(self.age_s, 3),
            self.job.work.unit: self.job.work.num_made(self.usage()),
        }

    # Events in

    def push(self, event: StreamEvent) -> None:
        """Count one event, and log it if its dialect has words for it.

        Silent events take no number, so that clients see 1, 2, 3… Whatever follows the terminal
        event is ignored.
        """
        if self.terminal:
            return
        if isinstance(event, TextDelta):
            self.num_tokens[event.index] = event.num_tokens
            self.job.remember(event)
            if event.text or event.logprobs or event.tool_calls:
                self.log.add(event, EVENT_BYTES + num_text_bytes(event))
        else:
            self._push_other(event)

    def _push_other(self, event: StreamEvent) -> None:
        match event:
            case Accepted():
                # A job that goes on elsewhere is accepted again; its readers have been told.
                if self.is_accepted:
                    return
                self.is_accepted = True
                self.prompt_tokens = event.prompt_tokens
            case ChoiceFinished():
                self.done.add(event.index)
            case Item() | ImageStep():
                self.num_items += 1
            case StageResult():
                self.num_items += 1
                self._count_tokens(event)
        if isinstance(event, Finished | Failed):
            self.log.add(event, EVENT_BYTES)
            self._finish(event)
        elif isinstance(event, Item | Images) or self.dialect.render(event):
            self.log.add(event, EVENT_BYTES + num_value_bytes(event))

    def _count_tokens(self, result: StageResult) -> None:
        """A stage whose text was not streamed has told nothing of them before."""
        work = self.job.work
        if isinstance(work, PipelineWork):
            self.num_tokens[work.steps.index(result.stage)] = result.num_tokens

    def notify(self) -> None:
        """Let the readers know at the end of this turn of the loop."""
        self._controls.touch(self)

    def wake(self) -> None:
        """Wake the readers, once for all events that arrived together.

        A reader that raises loses his place: others, of other streams too, are still to be served.
        """
        for reader in tuple(self._readers):
            try:
                reader.wake()
            except Exception:
                log.exception("reader failed", extra={"stream": self.id})
                reader.drop()

    def end(self, reason: str) -> None:
        """End the stream from this side, with what was made so far, and stop its job."""
        if not self.terminal:
            self._controls.cancel(self)
            self.push(self.ending(reason))
            self.notify()

    def ending(self, reason: str) -> Finished:
        """The terminal event that ends now, for `reason`, all that has not ended."""
        ended = [index for index in range(len(self.num_tokens)) if index not in self.done]
        return Finished(self.job.id, reason, self.usage(), ended)

    def _finish(self, terminal: Terminal) -> None:
        self.terminal = terminal
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for tell in self.on_end:
            tell(self)
        self.job.release()

    # Readers

    def attach(self, after: int, on_wake: Callable[[], None] | None = None) -> Reader:
        """Follow the stream from the event after seq `after`.

        Raises Expired when that event is no longer logged.
        """
        self.require_logged(after)
        reader = Reader(self, min(after, self.log.seq), on_wake)
        self._readers.add(reader)
        self._stop_timer("ttl")
        return reader

    def require_logged(self, after: int) -> None:
        """Raises Expired when events after seq `after` are no longer logged."""
        if after + 1 < self.log.first_seq:
            message = (
                f"stream {self.id}: events from {after + 1} are gone; the log begins at {self.log.first_seq}"
            )
            raise Expired(message, code="stream_expired", param="last_event_id")

    def detach(self, reader: Reader) -> None:
        """A reader has gone. Without any other the job is stopped, now or after `resume_ttl`."""
        if reader not in self._readers:
            return
        self._readers.discard(reader)
        self._retention.note_leave(reader.read_bytes)
        reader.stop_stall_timer()
        if not (self._readers or self.job.is_resumable):
            self.end("slow_client" if reader.is_dropped else "client_gone")
            self.forget()
        else:
            if not (self._readers or self.terminal):
                self._start_timer("ttl", self.settings.resume_ttl, "client_gone")
            self.check_pressure()

    def note_take(self) -> None:
        """A reader has taken all that is logged."""
        self._retention.note_take()

    # Backpressure

    def check_pressure(self) -> None:
        """Pause or resume the job, start and stop stall timers, trim the log."""
        if self._readers:
            self._retention.trim(reader.read_bytes for reader in self._readers)
        is_high = self.log.kept_bytes >= self.settings.low_unread_bytes
        if not is_high and not self._is_pressed:
            return
        self._is_pressed = is_high
        for reader in tuple(self._readers):
            reader.check_stall()
        if not self.terminal:
            self._steer()

    def _steer(self) -> None:
        settings = self.settings
        if self._readers:
            backlog, high, low = self.unread_bytes, settings.max_unread_bytes, settings.low_unread_bytes
        else:
            self._retention.make_room()
            backlog, high, low = self.log.kept_bytes, settings.max_log_bytes, settings.max_log_bytes
        if not self.is_paused and backlog > high:
            self.is_paused = True
            self._controls.pause(self)
        elif self.is_paused and backlog < low:
            self.is_paused = False
            self._controls.resume(self)

    def reader_stalled(self, reader: Reader) -> None:
        """A reader has been too far behind for too long: alone, the stream ends; else only he goes."""
        if self._readers == {reader}:
            self.end("slow_client")
            if not self.job.is_resumable:
                self.forget()
        else:
            reader.drop()

    def forget(self) -> None:
        """Free the log. Who still reads has lost the rest."""
        self.log.clear()
        for reader in tuple(self._readers):
            reader.check_stall()

    # Time

    def _start_deadline(self) -> None:
        if self.job.timeout_s is not None:
            self._start_timer("deadline", self.job.timeout_s, "deadline")

    def _start_timer(self, name: str, delay_s: float, reason: str) -> None:
        self._stop_timer(name)
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, self.end, reason)

    def _stop_timer(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
