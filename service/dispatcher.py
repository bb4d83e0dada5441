"""Between streams and workers: jobs out to the worker with the fewest, events back to their streams."""

import asyncio
import itertools
import logging
import time
from contextlib import suppress

from msgspec import structs

from config.settings import Settings
from service.catalogue import Catalogue
from service.dialects.dialect import Dialect
from service.errors import Unavailable
from service.events import Retrying, reason_of
from service.feeds import Feed
from service.job import Job
from service.metrics import Metrics
from service.streams import Stream
from service.supervisor import Supervisor
from service.turn import Turn
from service.upstream_link import UpstreamLink
from service.worker_link import WorkerLink
from workers.errors import KINDS
from workers.messages import (
    Cancel,
    Event,
    EventBatch,
    Failed,
    Finished,
    Images,
    ImageStep,
    Item,
    Pause,
    Resume,
    StageResult,
    StageStarted,
    Started,
    Submit,
    TextDelta,
    Usage,
)

log = logging.getLogger(__name__)

Link = WorkerLink | UpstreamLink | Feed


class Dispatcher:
    """Submits jobs, feeds their streams, and moves or fails those of a lost worker."""

    def __init__(
        self, settings: Settings, supervisor: Supervisor, catalogue: Catalogue, metrics: Metrics, turn: Turn
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._catalogue = catalogue
        self._metrics = metrics
        self._turn = turn
        self._links: dict[int, Link] = {}
        self._upstreams = {
            name: UpstreamLink(provider, self.take) for name, provider in settings.providers.items()
        }
        self._job_ids = itertools.count(1)
        self._retries: set[asyncio.Task[None]] = set()
        supervisor.on_batch = self.take
        supervisor.on_lost = self.lose

    def next_job_id(self) -> int:
        return next(self._job_ids)

    def submit(self, job: Job, dialect: Dialect, link: Link | None = None) -> Stream:
        """Give the job to `link`, by default to a worker.

        Raises Unavailable when none has room, with Retry-After.
        """
        if self._supervisor.is_leaving:
            raise Unavailable("the service is shutting down", code="drained", retry_after_s=5)
        link = link or self._choose(job)
        stream = Stream(job, dialect, self, self._settings.streams)
        stream.on_end.append(self._ended)
        self._catalogue.add(stream)
        self._metrics.opened()
        self._links[job.id] = link
        link.submit(stream, Submit(job.id, job.work))
        log.info("job accepted", extra=_facts(stream))
        return stream

    # What streams ask for (streams.Controls)

    def cancel(self, stream: Stream) -> None:
        if link := self._links.get(stream.job.id):
            link.cancel(Cancel(stream.job.id))

    def pause(self, stream: Stream) -> None:
        if link := self._links.get(stream.job.id):
            link.send(Pause(stream.job.id))

    def resume(self, stream: Stream) -> None:
        if link := self._links.get(stream.job.id):
            link.send(Resume(stream.job.id))

    def touch(self, stream: Stream) -> None:
        self._turn.touch(stream)

    # What workers say

    def take(self, link: Link, batch: EventBatch) -> None:
        """Feed one step's events to their streams."""
        now = time.monotonic()
        for event in batch.events:
            stream = link.jobs.get(event.job_id)
            if stream is None:
                continue
            if isinstance(event, TextDelta):
                if not stream.last_event_at:
                    self._log_first(stream, now)
                self._metrics.token(stream, event, now)
                stream.push(event)
            else:
                self._take_other(link, stream, event, now)
            self._turn.touch(stream)

    def _take_other(self, link: Link, stream: Stream, event: Event, now: float) -> None:
        """What is no text is rarer, and there is more to it."""
        match event:
            case Started():
                self._started(stream, event)
            case Item() | StageStarted() | StageResult() | ImageStep() | Images():
                if not stream.last_event_at:
                    self._log_first(stream, now)
                self._metrics.result(stream, event, now)
            case Finished():
                self._release(link, event.job_id)
            case Failed():
                self._release(link, event.job_id)
                # An engine that failed cannot tell what it had made; the stream can.
                if event.usage == Usage():
                    event = structs.replace(event, usage=stream.usage())
                if self._goes_on(stream, event):
                    self._retry(stream, event.message)
                    return
        stream.push(event)

    def lose(self, link: WorkerLink) -> None:
        """End or move every job of a worker that is gone."""
        for job_id, stream in list(link.jobs.items()):
            self._release(link, job_id)
            failure = Failed(
                job_id, "worker_lost", f"the worker was lost: {link.error}", None, stream.usage()
            )
            if self._goes_on(stream, failure):
                self._retry(stream, failure.message)
            else:
                stream.push(failure)
                stream.notify()

    def _goes_on(self, stream: Stream, failure: Failed) -> bool:
        """Whether the job is to be tried again elsewhere rather than end here."""
        job, is_retryable = stream.job, KINDS[failure.code].is_retryable
        return is_retryable and not stream.terminal and job.num_retries < job.max_retries

    def _started(self, stream: Stream, event: Started) -> None:
        if not stream.is_started:
            stream.is_started = True
            self._metrics.started(stream, event)
            log.info("job started", extra=_facts(stream))

    def _log_first(self, stream: Stream, now: float) -> None:
        log.info("job first event", extra=_facts(stream) | {"ttft_s": round(now - stream.opened_at, 4)})

    def _release(self, link: Link, job_id: int) -> None:
        link.jobs.pop(job_id, None)
        self._links.pop(job_id, None)

    # Retries

    def _retry(self, stream: Stream, error: str) -> None:
        job = stream.job
        job.num_retries += 1
        stream.push(Retrying(job.id, job.num_retries, job.max_retries, error))
        stream.notify()
        task = asyncio.get_running_loop().create_task(self._resubmit(stream))
        self._retries.add(task)
        task.add_done_callback(self._retries.discard)

    async def _resubmit(self, stream: Stream) -> None:
        """After the back-off, once a worker is ready, go on after the tokens that were sent."""
        job = stream.job
        await asyncio.sleep(self._settings.streams.retry_backoff_s * 2 ** (job.num_retries - 1))
        while True:
            await self._supervisor.wait_ready(job.model)
            if stream.terminal:
                return
            try:
                link = self._choose(job)
            except Unavailable:
                await asyncio.sleep(self._settings.streams.retry_backoff_s)
                continue
            self._links[job.id] = link
            link.submit(stream, Submit(job.id, job.rest(stream.done)))
            if stream.is_paused:
                self.pause(stream)
            return

    # Room

    def _choose(self, job: Job) -> Link:
        if job.provider in self._upstreams:
            return self._upstreams[job.provider]
        return self._least_busy(job.model)

    def _least_busy(self, model: str) -> WorkerLink:
        links = self._supervisor.ready_links(model)
        if not links:
            complaints = "; ".join(self._supervisor.complaints()) or "restarting"
            raise Unavailable(f"no worker is ready: {complaints}", code="model_not_ready", retry_after_s=5)
        link = min(links, key=lambda link: len(link.jobs))
        if full := self._fullness(link, model):
            raise Unavailable(full, code="queue_full", retry_after_s=self._retry_after_s())
        return link

    def _fullness(self, link: WorkerLink, model: str) -> str | None:
        """Why the worker takes no more, or None when it does."""
        base = self._settings.base_of(model)
        limit = self._settings.models[base].max_num_seqs + self._settings.models[base].max_waiting
        if len(link.jobs) >= limit:
            return f"{len(link.jobs)} jobs wait or run >= {limit} (models.{base}.max_num_seqs + max_waiting)"
        unsent, max_unsent = link.num_unsent_bytes, self._settings.workers.max_unsent_bytes
        if unsent > max_unsent:
            return f"{unsent} bytes wait for the worker > {max_unsent} (workers.max_unsent_bytes)"
        return None

    def _retry_after_s(self) -> int:
        return min(60, max(1, round(self._metrics.avg_duration_s)))

    # Ends

    def _ended(self, stream: Stream) -> None:
        self._links.pop(stream.job.id, None)
        self._metrics.ended(stream)
        if stream.terminal:
            work, usage = stream.job.work, stream.terminal.usage
            extra = _facts(stream) | {"reason": reason_of(stream.terminal), work.unit: work.num_made(usage)}
            if isinstance(stream.terminal, Failed):
                extra["error"] = stream.terminal.message
            log.info("job ended", extra=extra)

    async def drain(self, timeout_s: float) -> None:
        """Take no more jobs; let the running ones finish; past the time, end the rest as `drained`.

        What would never finish ends at once.
        """
        self._supervisor.drain()
        self._end_drained([stream for stream in self._catalogue.open_streams() if stream.job.is_endless])
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._catalogue.wait_empty()
        self._end_drained(self._catalogue.open_streams())
        for task in self._retries:
            task.cancel()
        for upstream in self._upstreams.values():
            await upstream.close()

    def _end_drained(self, streams: list[Stream]) -> None:
        for stream in streams:
            stream.end("drained")


def _facts(stream: Stream) -> dict[str, object]:
    job = stream.job
    return {
        "job": job.id,
        "stream": job.stream_id,
        "request": job.request_id,
        "route": job.route,
        "model": job.model,
    }
