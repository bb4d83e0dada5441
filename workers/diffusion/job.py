"""One request's pictures, and what of them is still to be told."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from workers.diffusion.painter import Making
from workers.messages import Event, Finished, Images, ImageStep, ImageWork, JobId, Usage

Encoded = Future[bytes]


class Due(NamedTuple):
    """Events that leave once their pictures are encoded; those behind them wait."""

    encoded: list[Encoded]
    say: Callable[[list[bytes]], list[Event]]


class ImageJob:
    """`pictures` is empty until the engine begins it. Events leave in order, whatever is encoded first."""

    def __init__(self, job_id: JobId, work: ImageWork, prompt_tokens: int) -> None:
        self.id = job_id
        self.work = work
        self.prompt_tokens = prompt_tokens
        self.pictures: list[Any] = []
        self.num_done = 0
        self.is_paused = False
        self.is_over = False
        self._previews: dict[int, dict[int, Encoded]] = {}
        self._finals: dict[int, Encoded] = {}
        self._due: deque[Due] = deque()

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, 0, self.num_done)

    def wants_preview(self, picture: Making) -> bool:
        """Whether the step that the picture has just done is one to be shown."""
        step = picture.num_done
        return step in self.work.preview_steps and self._index(picture) not in self._previews.get(step, {})

    def add_preview(self, picture: Making, encoded: Encoded) -> None:
        self._previews.setdefault(picture.num_done, {})[self._index(picture)] = encoded

    def note_steps(self) -> None:
        """Tell of the steps that all its pictures have done by now."""
        for step in range(self.num_done + 1, min(picture.num_done for picture in self.pictures) + 1):
            self.num_done = step
            previews = self._previews.pop(step, {})
            self._due.append(Due([previews[at] for at in sorted(previews)], self._say_step(step)))

    def _say_step(self, step: int) -> Callable[[list[bytes]], list[Event]]:
        return lambda previews: [ImageStep(self.id, step, self.work.num_inference_steps, previews)]

    def undecoded(self) -> Any | None:
        """A picture that is denoised and not yet on its way to a file."""
        if len(self._finals) == len(self.pictures):
            return None
        open_ones = (one for one in self.pictures if one.is_denoised and self._index(one) not in self._finals)
        return next(open_ones, None)

    def add_final(self, picture: Making, encoded: Encoded) -> None:
        """Once it was the last: the end."""
        self._finals[self._index(picture)] = encoded
        if len(self._finals) == len(self.pictures):
            self._due.append(Due([self._finals[at] for at in sorted(self._finals)], self._say_end))

    def _say_end(self, images: list[bytes]) -> list[Event]:
        self.is_over = True
        ended = Images(self.id, images, self.work.seeds, self.usage)
        return [ended, Finished(self.id, "completed", self.usage, [])]

    def pending(self) -> list[Encoded]:
        """What is being encoded and stands in the way of the next event."""
        return [future for future in self._due[0].encoded if not future.done()] if self._due else []

    def flush(self) -> list[Event]:
        """The events that can leave now."""
        events: list[Event] = []
        while self._due and all(future.done() for future in self._due[0].encoded):
            due = self._due.popleft()
            events += due.say([future.result() for future in due.encoded])
        return events

    def _index(self, picture: Making) -> int:
        return self.pictures.index(picture)
