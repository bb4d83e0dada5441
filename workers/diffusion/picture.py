"""One picture in the making: a scheduler of its own, latents, and how far they are."""

import inspect
from typing import Any, NamedTuple

import torch

# A denoiser's inputs beside latents and timesteps, each with one row per row of the batch.
Conditions = dict[str, torch.Tensor]


class Rows(NamedTuple):
    """What a picture puts into a step's batch: R is 2 where guidance compares with a negative prompt.

    latents [R, ...], timesteps [R], and conditions of R rows, the negative one first.
    """

    latents: torch.Tensor
    timesteps: torch.Tensor
    conditions: Conditions


class Picture:
    """Latents [1, ...] on their way from noise to a picture of `width` x `height` pixels.

    Schedulers keep state from step to step, so each picture has its own.
    """

    def __init__(
        self,
        size: tuple[int, int],
        num_steps: int,
        guidance_scale: float,
        scheduler: Any,
        latents: torch.Tensor,
        conditions: Conditions,
        generator: torch.Generator,
    ) -> None:
        self.width, self.height = size
        self.num_steps = num_steps
        self.latents = latents
        self._guidance_scale = guidance_scale
        self._scheduler = scheduler
        self._conditions = conditions
        self._num_rows = len(next(iter(conditions.values())))
        self._place = 0
        self._extra = _accepted(scheduler, {"generator": generator, "eta": 0.0})
        shapes = sorted((name, tuple(tensor.shape[1:])) for name, tensor in conditions.items())
        # Who may share a step: tensors must fit, and a transformer's positions follow from the size.
        self.key = (size, tuple(latents.shape[1:]), latents.dtype, tuple(shapes))

    @property
    def num_done(self) -> int:
        """Steps done. Some schedulers ask the model more than once for a step, or more in the beginning."""
        num_calls, order = len(self._scheduler.timesteps), int(self._scheduler.order)
        if self._place >= num_calls:
            return self.num_steps
        num_first = max(0, num_calls - self.num_steps * order)
        return max(0, self._place - num_first) // order

    @property
    def is_denoised(self) -> bool:
        return self._place >= len(self._scheduler.timesteps)

    @property
    def place(self) -> int:
        """How often the model was asked."""
        return self._place

    def rows(self) -> Rows:
        """The input of its next step."""
        scaled = self.scaled_latents()
        timestep = self._scheduler.timesteps[self._place]
        repeated = scaled.expand(self._num_rows, *scaled.shape[1:])
        return Rows(repeated, timestep.expand(self._num_rows), self._conditions)

    def scaled_latents(self) -> torch.Tensor:
        """The latents [1, ...] as the model expects them: of about the same spread at every step."""
        scale = getattr(self._scheduler, "scale_model_input", None)
        if scale is None:
            return self.latents
        return scale(self.latents, self._scheduler.timesteps[self._place])  # type: ignore[no-any-return]

    def take(self, prediction: torch.Tensor) -> None:
        """Make the step that the model's answer [R, ...] tells."""
        if self._num_rows == 2:
            negative, positive = prediction.chunk(2)
            prediction = negative + self._guidance_scale * (positive - negative)
        timestep = self._scheduler.timesteps[self._place]
        (self.latents, *_) = self._scheduler.step(
            prediction, timestep, self.latents, **self._extra, return_dict=False
        )
        self._place += 1


def _accepted(scheduler: Any, options: dict[str, Any]) -> dict[str, Any]:
    known = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in options.items() if name in known}
