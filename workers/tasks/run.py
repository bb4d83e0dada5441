"""One call of a task: its generator, from the first step to the end."""

import logging
from collections.abc import Iterator
from typing import Any

import msgspec

from workers.messages import Event, Failed, Finished, Item, JobId, Progress, Started, Usage
from workers.tasks.context import NO_ITEM, Context
from workers.tasks.declare import Task
from workers.tasks.wording import say

log = logging.getLogger(__name__)

# One value is one event, which is kept whole: a result that is larger is better yielded in parts.
MAX_ITEM_BYTES = 4 << 20

encode = msgspec.json.Encoder().encode


class Run:
    """A job's generator. It is over once `advance` or `close` has returned its terminal event.

    What a task raises, even what would end a process (`sys.exit`), ends its own run alone.
    """

    def __init__(self, job_id: JobId, task: Task, params: Any, context: Context) -> None:
        self.job_id = job_id
        self.is_over = False
        self._name = task.name
        self._context = context
        self._generator = task.start(params, context)
        self._is_started = False
        self._num_items = 0

    def advance(self) -> Iterator[Event]:
        """Go on to the next yield; give what came of it."""
        if not self._is_started:
            self._is_started = True
            yield Started(self.job_id)
        try:
            value = next(self._generator)
        except StopIteration:
            yield from self._progress()
            yield self._end("completed")
        except BaseException as error:
            log.exception("task failed", extra={"job": self.job_id, "task": self._name})
            yield self._fail("task_failed", f'task "{self._name}" raised {say(error)}')
        else:
            yield from self._progress()
            if value is not NO_ITEM:
                yield self._item(value)

    def close(self) -> Finished:
        """End the generator where it stands: its `finally` runs."""
        self._close()
        return self._end("cancelled")

    def _progress(self) -> Iterator[Progress]:
        if progress := self._context.take_progress():
            yield Progress(self.job_id, *progress)

    def _item(self, value: Any) -> Event:
        try:
            body = encode(value)
            if b"\n" in body:
                # Only raw JSON can have line breaks; a line is one value on the wire.
                body = msgspec.json.format(body, indent=-1)
            if len(body) > MAX_ITEM_BYTES:
                raise ValueError(f"{len(body)} bytes > {MAX_ITEM_BYTES}; yield it in parts")
        except Exception as error:
            log.exception("task yielded a bad value", extra={"job": self.job_id, "task": self._name})
            self._close()
            message = f'task "{self._name}": item {self._num_items + 1} cannot be sent as JSON: {say(error)}'
            return self._fail("task_bad_value", message)
        self._num_items += 1
        return Item(self.job_id, body)

    def _close(self) -> None:
        try:
            self._generator.close()
        except BaseException:
            log.exception("task did not close well", extra={"job": self.job_id, "task": self._name})

    def _end(self, reason: str) -> Finished:
        self.is_over = True
        return Finished(self.job_id, reason, Usage(num_items=self._num_items), [])

    def _fail(self, code: str, message: str) -> Failed:
        self.is_over = True
        return Failed(self.job_id, code, message, None, Usage(num_items=self._num_items))
