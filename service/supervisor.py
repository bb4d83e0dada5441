"""Keeps every configured worker alive: start, readiness, heartbeats, restart with back-off."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from msgspec import structs

from config.settings import Settings
from service.worker_link import WorkerLink
from workers.messages import Drain, EventBatch, Limits, Stop
from workers.process import WorkerSpec

log = logging.getLogger(__name__)

TICK_S = 0.5
NUM_MISSED_HEARTBEATS = 5


class Post:
    """One configured place for a worker: who holds it now, and how often it was filled again."""

    def __init__(self, model: str, index: int) -> None:
        self.model = model
        self.index = index
        self.link: WorkerLink | None = None
        self.limits: Limits | None = None
        self.error: str | None = None
        self.num_restarts = 0
        self.num_failures = 0

    @property
    def is_ready(self) -> bool:
        return self.link is not None and self.link.state == "ready"


class Supervisor:
    """Fills every post and refills it. `on_batch` and `on_lost` tell the dispatcher."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.posts = [Post(name, i) for name, m in settings.models.items() for i in range(m.num_workers)]
        self.on_batch: Callable[[WorkerLink, EventBatch], None]
        self.on_lost: Callable[[WorkerLink], None]
        self.created = int(time.time())
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_leaving = False

    @property
    def num_threads(self) -> int:
        """Compute threads per worker: what the settings say, or all cores but the service's, shared."""
        num_cores = len(os.sched_getaffinity(0))
        return self._settings.workers.threads or max(1, (num_cores - 1) // len(self.posts))

    # Life

    def start(self) -> None:
        for post in self.posts:
            self._fill(post)
        self._spawn(self._watch())

    async def stop(self) -> None:
        """Ask every worker to leave, and kill those that do not in time."""
        self.is_leaving = True
        links = [post.link for post in self.posts if post.link]
        for link in links:
            link.send(Stop())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(link.join(self._settings.workers.stop_timeout_s) for link in links))
        for link in links:
            link.kill("the service has stopped")

    def drain(self) -> None:
        """Refill no post any more; each worker leaves, and frees its device, after its last job."""
        self.is_leaving = True
        for post in self.posts:
            if post.link:
                post.link.send(Drain())

    async def wait_ready(self, model: str | None = None) -> None:
        """Return once a worker of the model is ready; of every model, when none is named."""
        while not self.is_ready(model):
            self._changed.clear()
            await self._changed.wait()

    # Facts

    def is_ready(self, model: str | None = None) -> bool:
        """Models and adapters alike are asked for by the names that clients use."""
        models = [self._settings.base_of(model)] if model else list(self._settings.models)
        return all(any(post.is_ready for post in self.posts if post.model == name) for name in models)

    def ready_links(self, model: str) -> list[WorkerLink]:
        base = self._settings.base_of(model)
        return [post.link for post in self.posts if post.model == base and post.link and post.is_ready]

    def limits(self, model: str) -> Limits | None:
        """What the model can take; known from its first readiness on."""
        base = self._settings.base_of(model)
        return next((post.limits for post in self.posts if post.model == base and post.limits), None)

    def complaints(self) -> list[str]:
        """Why the service is not ready: it leaves, a model has no live worker, tokens do not flow."""
        lines = ["the service is shutting down"] if self.is_leaving else []
        lines += [f'model "{post.model}": {why}' for post in self.posts if (why := self._silence(post))]
        for name in self._settings.models:
            posts = [post for post in self.posts if post.model == name]
            if not any(post.is_ready for post in posts):
                errors = {post.error for post in posts if post.error}
                lines.append(f'model "{name}": {"; ".join(sorted(errors)) or "loading"}')
        return lines

    def _silence(self, post: Post) -> str | None:
        """A step may be long; this many missed heartbeats are no longer a step."""
        link, longest_s = post.link, NUM_MISSED_HEARTBEATS * self._settings.workers.heartbeat_s
        if not (link and post.is_ready and link.jobs):
            return None
        silent_s = time.monotonic() - link.last_report_at
        return f"worker {post.index} has said nothing for {silent_s:.0f} s" if silent_s > longest_s else None

    def summary(self) -> list[dict[str, Any]]:
        return [_summary(post) for post in self.posts]

    # Posts

    def _fill(self, post: Post) -> None:
        spec = WorkerSpec(
            post.model,
            self._settings.models[post.model],
            self._settings.log,
            self.num_threads,
            self._settings.workers.heartbeat_s,
        )
        post.link = WorkerLink(
            spec,
            self.on_batch,
            on_ready=lambda link: self._greet(post, link),
            on_lost=lambda link: self._mourn(post, link),
        )
        log.info(
            "worker started", extra={"model": post.model, "worker": post.index, "pid": post.link.process.pid}
        )

    def _greet(self, post: Post, link: WorkerLink) -> None:
        post.limits, post.error, post.num_failures = link.limits, None, 0
        took_s = round(time.monotonic() - link.started_at, 2)
        extra = {"model": post.model, "worker": post.index, "took_s": took_s}
        log.info("worker ready: %s", link.limits and link.limits.description, extra=extra)
        self._changed.set()

    def _mourn(self, post: Post, link: WorkerLink) -> None:
        post.error = link.error
        self.on_lost(link)
        if self.is_leaving:
            log.info("worker left", extra={"model": post.model, "worker": post.index})
        else:
            log.error("worker lost: %s", link.error, extra={"model": post.model, "worker": post.index})
            self._spawn(self._refill(post, link))

    async def _refill(self, post: Post, link: WorkerLink) -> None:
        workers = self._settings.workers
        delay_s = min(workers.restart_backoff_s * 2**post.num_failures, workers.max_restart_backoff_s)
        post.num_failures += 1
        await link.join(workers.stop_timeout_s)
        await asyncio.sleep(delay_s)
        while not self.is_leaving:
            try:
                self._fill(post)
            except OSError as error:
                # No memory or no process to be had: that passes, and the post must not stay empty.
                log.error(
                    "cannot start a worker: %s", error, extra={"model": post.model, "worker": post.index}
                )
                await asyncio.sleep(workers.max_restart_backoff_s)
            else:
                post.num_restarts += 1
                return

    # Watch

    async def _watch(self) -> None:
        """Notice workers that are gone, and kill those that hang: silent with work, or loading for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            for link in [post.link for post in self.posts if post.link]:
                link.check_alive()
                if why := self._hangs(link):
                    link.kill(why)

    def _hangs(self, link: WorkerLink) -> str | None:
        now, workers = time.monotonic(), self._settings.workers
        if link.state == "loading" and now - link.started_at > workers.load_timeout_s:
            return f"loading took longer than {workers.load_timeout_s} s (workers.load_timeout_s)"
        is_silent = link.state == "ready" and link.jobs and now - link.last_report_at > workers.hang_timeout_s
        return f"no word for {workers.hang_timeout_s} s (workers.hang_timeout_s)" if is_silent else None

    def _spawn(self, coroutine: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _summary(post: Post) -> dict[str, Any]:
    link = post.link
    return {
        "model": post.model,
        "index": post.index,
        "state": link.state if link else "lost",
        "pid": link.process.pid if link else None,
        "jobs": len(link.jobs) if link else 0,
        "unsent_bytes": link.num_unsent_bytes if link else 0,
        "restarts": post.num_restarts,
        "error": post.error,
        "stats": structs.asdict(link.stats) if link else {},
    }
