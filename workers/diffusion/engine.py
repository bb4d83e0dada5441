"""Images: a step is one denoising step of a batch of pictures, whichever jobs they belong to."""

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from typing import Any

import torch

from config.settings import ModelSettings
from workers.diffusion.encode import Encoder
from workers.diffusion.job import ImageJob
from workers.diffusion.load import load
from workers.diffusion.memory import OUT_OF_MEMORY, free_memory, is_out_of_memory
from workers.engine import Engine
from workers.errors import JobError
from workers.messages import (
    Accepted,
    Event,
    Failed,
    Finished,
    ImageLimits,
    ImageWork,
    JobId,
    Limits,
    Started,
    Stats,
)

log = logging.getLogger(__name__)

# How long a step waits for an encoder when there is nothing else to do.
ENCODE_WAIT_S = 0.02


class DiffusionEngine(Engine[ImageWork]):
    """Denoises at most `max_num_seqs` pictures of equal shape together; jobs join and leave at any step.

    Jobs begin in the order in which they came. Where shapes differ, each gets its turn. Finished pictures
    are decoded one a step, and encoded in a thread.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:
        painter, self._previews, description = load(settings)
        self._painter = painter
        self._name = name
        self._max_pictures = min(settings.max_num_seqs, painter.max_pictures or settings.max_num_seqs)
        self._encoder = Encoder(settings.preview_side)
        width, height = painter.size
        image = ImageLimits(
            width,
            height,
            painter.size_multiple,
            settings.max_image_side or 2 * max(painter.size),
            settings.image_steps,
            settings.guidance_scale,
            self._previews.kinds,
        )
        self.limits = Limits(0, self._max_pictures, 0, False, description, image=image)
        self._jobs: dict[JobId, ImageJob] = {}
        self._waiting: deque[ImageJob] = deque()
        # Pictures that are not denoised yet, the one whose turn is next in front.
        self._turns: deque[tuple[ImageJob, Any]] = deque()
        self._cancelled: set[JobId] = set()
        self._num_steps = 0

    def add(self, job_id: JobId, work: ImageWork) -> Event:
        self._check(work)
        job = ImageJob(job_id, work, self._painter.num_tokens(work.prompt))
        self._jobs[job_id] = job
        self._waiting.append(job)
        return Accepted(job_id, job.prompt_tokens)

    def _check(self, work: ImageWork) -> None:
        multiple = self._painter.size_multiple
        for field, pixels in (("width", work.width), ("height", work.height)):
            if pixels < multiple or pixels % multiple:
                message = f"{field} {pixels}: expected a multiple of {multiple} (model {self._name!r})"
                raise JobError("bad_params", message, field)
        if work.preview_steps and work.preview not in self._previews.kinds:
            kinds = ", ".join(self._previews.kinds)
            raise JobError("bad_params", f"preview {work.preview!r}: there is: {kinds}", "preview")

    def cancel(self, job_id: JobId) -> None:
        if job_id in self._jobs:
            self._cancelled.add(job_id)

    def pause(self, job_id: JobId) -> None:
        if job_id in self._jobs:
            self._jobs[job_id].is_paused = True

    def resume(self, job_id: JobId) -> None:
        if job_id in self._jobs:
            self._jobs[job_id].is_paused = False

    def has_work(self) -> bool:
        return bool(self._cancelled) or any(not job.is_paused for job in self._jobs.values())

    def job_ids(self) -> list[JobId]:
        return list(self._jobs)

    def stats(self) -> Stats:
        num_paused = sum(job.is_paused for job in self._jobs.values())
        num_running = sum(bool(job.pictures) and not job.is_paused for job in self._jobs.values())
        num_waiting = len(self._jobs) - num_paused - num_running
        return Stats(num_running, num_waiting, num_paused, self._num_steps)

    @torch.inference_mode()
    def step(self) -> list[Event]:
        events: list[Event] = []
        self._drop_cancelled(events)
        self._begin(events)
        batch = self._choose()
        if batch:
            self._num_steps += 1
            self._denoise(batch, events)
        is_decoded = self._decode_one(events)
        if not (batch or is_decoded or events):
            self._await_encoder()
        self._flush(events)
        return events

    # Into the batch

    def _begin(self, events: list[Event]) -> None:
        while self._waiting and (job := self._next_waiting()):
            self._waiting.remove(job)
            events.append(Started(job.id))
            with self._fails_alone(job, events):
                job.pictures = self._painter.begin(job.work)
                self._turns.extend((job, picture) for picture in job.pictures)

    def _next_waiting(self) -> ImageJob | None:
        """The first that has not been paused, where there is room for it, or nothing else to do."""
        num_active = sum(not job.is_paused for job, _ in self._turns)
        job = next((job for job in self._waiting if not job.is_paused), None)
        if job and num_active and num_active + len(job.work.seeds) > self._max_pictures:
            return None
        return job

    def _choose(self) -> list[tuple[ImageJob, Any]]:
        """The picture whose turn it is, and those after it that fit in with it."""
        awake = [turn for turn in self._turns if not turn[0].is_paused]
        fitting = [turn for turn in awake if turn[1].key == awake[0][1].key]
        return fitting[: self._max_pictures]

    # A step

    def _denoise(self, batch: list[tuple[ImageJob, Any]], events: list[Event]) -> None:
        self._advance(batch, events)
        taken = {id(picture) for _, picture in batch}
        self._turns = deque(turn for turn in self._turns if id(turn[1]) not in taken)
        live = [turn for turn in batch if turn[0].id in self._jobs]
        self._turns.extend(turn for turn in live if not turn[1].is_denoised)
        for job, picture in live:
            self._preview(job, picture, events)
        for job in {job.id: job for job, _ in live if job.id in self._jobs}.values():
            job.note_steps()

    def _advance(self, batch: list[tuple[ImageJob, Any]], events: list[Event]) -> None:
        """One step for all; where that does not fit into memory, job by job: who alone does not fit fails."""
        places = [picture.place for _, picture in batch]
        jobs = {job.id: job for job, _ in batch}
        if len(jobs) == 1:
            (job,) = jobs.values()
            with self._fails_alone(job, events):
                self._painter.advance([picture for _, picture in batch])
            return
        try:
            self._painter.advance([picture for _, picture in batch])
            return
        except OUT_OF_MEMORY as error:
            if not is_out_of_memory(error):
                raise
            log.warning(
                "a step does not fit into memory", extra={"model": self._name, "pictures": len(batch)}
            )
        free_memory()
        left = [turn for turn, place in zip(batch, places, strict=True) if turn[1].place == place]
        for job_id in jobs:
            if some := [turn for turn in left if turn[0].id == job_id]:
                self._advance(some, events)

    def _preview(self, job: ImageJob, picture: Any, events: list[Event]) -> None:
        if job.id not in self._jobs or not job.wants_preview(picture):
            return
        with self._fails_alone(job, events):
            image = self._previews.make(picture, job.work.preview)
            if image is not None:
                size = (job.work.width, job.work.height)
                job.add_preview(picture, self._encoder.preview(image, size, job.work.image_format))

    # Out of it

    def _decode_one(self, events: list[Event]) -> bool:
        for job in list(self._jobs.values()):
            if not job.is_paused and (picture := job.undecoded()):
                with self._fails_alone(job, events):
                    image = self._painter.finish(picture)
                    facts = self._facts(job, picture)
                    encoded = self._encoder.final(image, job.work.image_format, job.work.quality, facts)
                    job.add_final(picture, encoded)
                return True
        return False

    def _facts(self, job: ImageJob, picture: Any) -> dict[str, Any]:
        """What it takes to make the picture again."""
        work = job.work
        return {
            "prompt": work.prompt,
            "negative_prompt": work.negative_prompt,
            "seed": work.seeds[job.pictures.index(picture)],
            "steps": work.num_inference_steps,
            "guidance_scale": work.guidance_scale,
            "width": work.width,
            "height": work.height,
            "model": self._name,
        }

    def _await_encoder(self) -> None:
        pending = [future for job in self._jobs.values() for future in job.pending()]
        if pending:
            wait(pending, ENCODE_WAIT_S, FIRST_COMPLETED)

    def _flush(self, events: list[Event]) -> None:
        for job in list(self._jobs.values()):
            events.extend(job.flush())
            if job.is_over:
                self._forget(job)

    def _drop_cancelled(self, events: list[Event]) -> None:
        for job_id in self._cancelled:
            if job := self._jobs.get(job_id):
                events.extend(job.flush())
                if not job.is_over:
                    events.append(Finished(job_id, "cancelled", job.usage, []))
                self._forget(job)
        if self._cancelled and not self._jobs:
            free_memory()
        self._cancelled.clear()

    def _forget(self, job: ImageJob) -> None:
        del self._jobs[job.id]
        self._turns = deque(turn for turn in self._turns if turn[0] is not job)
        if job in self._waiting:
            self._waiting.remove(job)
        for picture in job.pictures:
            self._painter.drop(picture)

    @contextmanager
    def _fails_alone(self, job: ImageJob, events: list[Event]) -> Iterator[None]:
        """What goes wrong for want of memory, or because the model refuses it, ends this job only."""
        try:
            yield
        except JobError as error:
            self._fail(job, error, events)
        except OUT_OF_MEMORY as error:
            if not is_out_of_memory(error):
                raise
            log.warning("a job does not fit into memory", extra={"model": self._name, "job": job.id})
            size = f"{job.work.width}x{job.work.height} pixels, {len(job.work.seeds)} at once"
            self._fail(job, JobError("out_of_memory", f"no memory for a step of {size}"), events)
            free_memory()

    def _fail(self, job: ImageJob, error: JobError, events: list[Event]) -> None:
        events.extend(job.flush())
        events.append(Failed(job.id, error.code, error.message, error.param, job.usage))
        self._forget(job)
