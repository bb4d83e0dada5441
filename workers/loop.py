"""The heart of every worker: take the commands, step the engine once, send what it made."""

import logging
import time
from typing import Any

from workers.engine import Engine
from workers.errors import JobError
from workers.messages import (
    Bye,
    Cancel,
    Command,
    Drain,
    Event,
    EventBatch,
    Failed,
    Heartbeat,
    Pause,
    Resume,
    Stop,
    Submit,
    Usage,
)
from workers.queues import WorkerEnd

log = logging.getLogger(__name__)

LAST_WORDS_S = 2.0


class Loop:
    """Runs one engine until it is told to leave, the service is gone, or a step raises."""

    def __init__(self, engine: Engine[Any], end: WorkerEnd, heartbeat_s: float) -> None:
        self._engine = engine
        self._end = end
        self._heartbeat_s = heartbeat_s
        self._next_heartbeat = 0.0
        self._is_draining = False
        self._is_stopping = False

    def run(self) -> None:
        """Raises EndOfPipe when the service is gone, and whatever `engine.step` raises."""
        try:
            self._run()
        finally:
            self._engine.close()
        self._end.put(Bye(None))
        self._end.finish(LAST_WORDS_S)

    def _run(self) -> None:
        while not self._is_done():
            self._beat()
            can_step = self._end.has_room() and self._engine.has_work()
            for command in self._end.take(0 if can_step else self._heartbeat_s):
                self._obey(command)
            if self._end.has_room() and self._engine.has_work():
                self._step()

    def _is_done(self) -> bool:
        return self._is_stopping or (self._is_draining and not self._engine.job_ids())

    def _beat(self) -> None:
        now = time.monotonic()
        if now >= self._next_heartbeat and self._end.has_room():
            self._next_heartbeat = now + self._heartbeat_s
            self._end.put(Heartbeat(self._engine.stats()))

    def _step(self) -> None:
        try:
            events = self._engine.step()
        except Exception as error:
            self._fail_all(error)
            raise
        if events:
            self._end.put(EventBatch(events))

    def _fail_all(self, error: Exception) -> None:
        """The engine's state is unknown after an exception: no job of it can go on here."""
        message = f"the engine failed: {type(error).__name__}: {error}"
        failures = [
            Failed(job_id, "engine_failed", message, None, Usage()) for job_id in self._engine.job_ids()
        ]
        self._end.put(EventBatch(list(failures)))

    def _obey(self, command: Command) -> None:
        match command:
            case Submit():
                self._add(command)
            case Cancel(job_id):
                self._engine.cancel(job_id)
            case Pause(job_id):
                self._engine.pause(job_id)
            case Resume(job_id):
                self._engine.resume(job_id)
            case Drain():
                self._is_draining = True
            case Stop():
                self._is_stopping = True

    def _add(self, command: Submit) -> None:
        try:
            event: Event | None = self._engine.add(command.job_id, command.work)
        except JobError as error:
            event = Failed(command.job_id, error.code, error.message, error.param, Usage())
        if event is not None:
            self._end.put(EventBatch([event]))
