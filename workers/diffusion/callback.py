"""Any other text-to-image pipeline: its own loop runs in a thread that waits at the end of each step."""

import copy
import inspect
from collections.abc import Hashable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch
from PIL.Image import Image

from workers.diffusion.batched import Pipeline
from workers.diffusion.painter import Painter
from workers.errors import JobError
from workers.messages import ImageWork

_GO, _STOP = True, False


class _Stopped(Exception):
    """Raised inside a pipeline whose picture nobody wants any more."""


class Run:
    """One call of a pipeline. Only one of caller and thread runs at any time, as with a generator."""

    def __init__(self, pipeline: Pipeline, options: dict[str, Any], num_steps: int) -> None:
        self.num_steps = num_steps
        self.key: Hashable = id(self)
        self.num_done = 0
        self.place = 0
        self.latents: torch.Tensor | None = None
        self.image: Image | None = None
        self.error: BaseException | None = None
        self._options = options
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._news: SimpleQueue[None] = SimpleQueue()
        # A copy with a scheduler of its own: others may be half done while this one is paused.
        self._pipeline = copy.copy(pipeline)
        self._pipeline.scheduler = copy.deepcopy(pipeline.scheduler)
        self._thread = Thread(target=self._run, daemon=True)

    @property
    def is_denoised(self) -> bool:
        return self.image is not None

    def advance(self) -> None:
        """One more step; the last one makes the picture. Raises what the pipeline raises."""
        if not self._thread.ident:
            self._thread.start()
        self._orders.put(_GO)
        self._news.get()
        self.place += 1
        if self.error:
            raise self.error

    def stop(self) -> None:
        """End the thread, wherever it waits."""
        if self._thread.is_alive():
            self._orders.put(_STOP)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._wait()
            with torch.inference_mode():
                self.image = self._pipeline(**self._options, callback_on_step_end=self._step_ended).images[0]
            self.num_done = self.num_steps
        except _Stopped:
            return
        except BaseException as error:
            self.error = error
        self._news.put(None)

    def _step_ended(
        self, _pipeline: Pipeline, _step: int, _timestep: Any, values: dict[str, Any]
    ) -> dict[str, Any]:
        self.num_done = min(self.num_done + 1, self.num_steps)
        self.latents = values.get("latents")
        if self.num_done < self.num_steps:
            self._news.put(None)
            self._wait()
        return values

    def _wait(self) -> None:
        if self._orders.get() is _STOP:
            raise _Stopped


class CallbackPainter(Painter[Run]):
    """One picture at a time, in the order in which they came."""

    max_pictures = 1

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._known = inspect.signature(pipeline.__call__).parameters
        factor = int(getattr(pipeline, "vae_scale_factor", 8))
        self.size_multiple = factor * 2
        self.size = self._own_size(factor)

    def _own_size(self, factor: int) -> tuple[int, int]:
        config = getattr(getattr(self._pipeline, "transformer", None) or self._pipeline, "config", {})
        side = getattr(self._pipeline, "default_sample_size", None) or config.get("sample_size") or 64
        return int(side) * factor, int(side) * factor

    def num_tokens(self, prompt: str) -> int:
        tokenizer = getattr(self._pipeline, "tokenizer", None)
        return len(tokenizer(prompt).input_ids) if tokenizer else 0

    def begin(self, work: ImageWork) -> list[Run]:
        return [
            Run(self._pipeline, self._options(work, seed), work.num_inference_steps) for seed in work.seeds
        ]

    def _options(self, work: ImageWork, seed: int) -> dict[str, Any]:
        """What of the work this pipeline's call takes."""
        options = {
            "prompt": work.prompt,
            "negative_prompt": work.negative_prompt or None,
            "num_inference_steps": work.num_inference_steps,
            "guidance_scale": work.guidance_scale,
            "width": work.width,
            "height": work.height,
            "generator": torch.Generator().manual_seed(seed),
        }
        return {name: value for name, value in options.items() if name in self._known and value is not None}

    def advance(self, pictures: Sequence[Run]) -> None:
        for picture in pictures:
            try:
                picture.advance()
            except ValueError as error:
                # What pipelines raise for a size or a prompt that they cannot take.
                raise JobError("bad_params", str(error)) from error

    def latents(self, picture: Run) -> torch.Tensor | None:
        latents = picture.latents
        return latents if latents is not None and latents.ndim == 4 else None

    def decode(self, latents: torch.Tensor) -> Image:
        vae = self._pipeline.vae
        decoded = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
        image: Image = self._pipeline.image_processor.postprocess(decoded, output_type="pil")[0]
        return image

    def finish(self, picture: Run) -> Image:
        assert picture.image is not None
        return picture.image

    def drop(self, picture: Run) -> None:
        picture.stop()
