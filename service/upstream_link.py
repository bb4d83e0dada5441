"""An upstream in a worker's place: takes jobs and commands, gives back event batches."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from importlib import import_module

from config.settings import ProviderSettings
from service.chat.sessions import num_chars
from service.providers.provider import Provider
from service.streams import Stream
from workers.errors import JobError
from workers.messages import (
    Accepted,
    Cancel,
    ChatMessage,
    ChatPrompt,
    Command,
    Event,
    EventBatch,
    Failed,
    Finished,
    JobId,
    Pause,
    Resume,
    Started,
    Submit,
    TextDelta,
    TextWork,
    Usage,
)
from workers.trimming import trimmed

log = logging.getLogger(__name__)

KINDS = {
    "openai": "service.providers.openai:OpenAIProvider",
    "anthropic": "service.providers.anthropic:AnthropicProvider",
}


def load_provider(settings: ProviderSettings) -> Provider:
    """Import the client library only where a provider needs it: it takes half a second."""
    module_name, class_name = KINDS[settings.kind].split(":")
    provider: Provider = getattr(import_module(module_name), class_name)(settings)
    return provider


class UpstreamLink:
    """Runs each job as a task of the service. A paused job's answer waits in the upstream's socket."""

    def __init__(
        self, settings: ProviderSettings, on_batch: Callable[["UpstreamLink", EventBatch], None]
    ) -> None:
        self.jobs: dict[JobId, Stream] = {}
        self.models = settings.models
        self._provider = load_provider(settings)
        self._max_history_chars = settings.max_history_chars
        self._on_batch = on_batch
        self._tasks: dict[JobId, asyncio.Task[None]] = {}
        self._gates: dict[JobId, asyncio.Event] = {}

    def submit(self, stream: Stream, command: Submit) -> None:
        job_id = command.job_id
        self.jobs[job_id] = stream
        gate = self._gates[job_id] = asyncio.Event()
        gate.set()
        task = asyncio.get_running_loop().create_task(self._run(stream, command, gate))
        self._tasks[job_id] = task
        task.add_done_callback(lambda _: self._forget(job_id))

    def cancel(self, command: Cancel) -> None:
        if task := self._tasks.get(command.job_id):
            task.cancel()

    def send(self, command: Command) -> None:
        match command:
            case Pause(job_id) if job_id in self._gates:
                self._gates[job_id].clear()
            case Resume(job_id) if job_id in self._gates:
                self._gates[job_id].set()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._provider.close()

    async def _run(self, stream: Stream, command: Submit, gate: asyncio.Event) -> None:
        job_id = command.job_id
        try:
            await self._relay(stream, command, gate)
        except JobError as error:
            self._tell(Failed(job_id, error.code, error.message, error.param, stream.usage()))
        except Exception as error:
            log.exception("upstream failed", extra={"job": job_id})
            self._tell(Failed(job_id, "upstream_failed", f"upstream: {error}", None, stream.usage()))

    async def _relay(self, stream: Stream, command: Submit, gate: asyncio.Event) -> None:
        job_id, work, num_pieces = command.job_id, command.work, 0
        assert isinstance(work, TextWork)
        answer = self._provider.answer(stream.job.model, self._messages(work), work.sampling)
        async with aclosing(answer):
            async for piece in answer:
                await gate.wait()
                if not num_pieces:
                    self._tell(Accepted(job_id, 0), Started(job_id))
                num_pieces += 1
                if piece.text:
                    self._tell(TextDelta(job_id, 0, piece.text, [], num_pieces - 1))
                if piece.reason:
                    usage = piece.usage or Usage(0, num_pieces - 2)
                    self._tell(Finished(job_id, piece.reason, usage, [0]))

    def _messages(self, work: TextWork) -> list[ChatMessage]:
        """What the upstream is sent. Its tokenizer is not here: histories are cut by characters."""
        (prompt,) = work.prompts
        if not isinstance(prompt, ChatPrompt):
            return []
        return (
            trimmed(prompt.messages, self._max_history_chars, num_chars) if prompt.trims else prompt.messages
        )

    def _tell(self, *events: Event) -> None:
        self._on_batch(self, EventBatch(list(events)))

    def _forget(self, job_id: JobId) -> None:
        self.jobs.pop(job_id, None)
        self._tasks.pop(job_id, None)
        self._gates.pop(job_id, None)
