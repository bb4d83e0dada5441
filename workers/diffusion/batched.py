"""Families whose denoiser the engine calls itself, so that pictures of many jobs share a step."""

from abc import abstractmethod
from collections.abc import Sequence
from math import lcm
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL.Image import Image

from workers.diffusion.painter import Painter
from workers.diffusion.picture import Conditions, Picture
from workers.messages import ImageWork

# transformers' and diffusers' annotations hide what these classes can do.
Pipeline = Any


class BatchedPainter(Painter[Picture]):
    """One denoiser call for the rows of all pictures; guidance and schedulers picture by picture.

    Follows the family's pipeline in diffusers call by call: for the same seed (of a generator on the
    CPU) both make the same picture. What is read from the pipeline is its parts and its text encoding.
    """

    # Whether the family's pipeline tells its scheduler where the schedule begins.
    sets_begin = False
    # Sides that the family's pipeline takes, whatever its autoencoder's factor is.
    min_multiple = 1
    # What the denoiser calls its latents.
    input_name = "hidden_states"

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.device: torch.device = self.denoiser.device
        self.dtype: torch.dtype = self.denoiser.dtype
        self.factor = int(pipeline.vae_scale_factor)
        self.size_multiple = lcm(self.min_multiple, self.factor * self.patch)
        self.size = self.own_size()

    @property
    @abstractmethod
    def denoiser(self) -> Any:
        """The UNet or transformer."""

    @property
    def patch(self) -> int:
        """Latents that the denoiser takes as one, along a side."""
        return 1

    def own_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        side = self.denoiser.config.sample_size
        height, width = side if isinstance(side, list | tuple) else (side, side)
        return width * self.factor, height * self.factor

    def num_tokens(self, prompt: str) -> int:
        tokenizer = self.pipeline.tokenizer
        return len(tokenizer(prompt, truncation=True, max_length=tokenizer.model_max_length).input_ids)

    def begin(self, work: ImageWork) -> list[Picture]:
        conditions = self.encode(work)
        return [self._begin(work, seed, conditions) for seed in work.seeds]

    def _begin(self, work: ImageWork, seed: int, conditions: Conditions) -> Picture:
        scheduler = self.pipeline.scheduler
        scheduler = type(scheduler).from_config(scheduler.config)
        generator = torch.Generator().manual_seed(seed)
        shape = (1, self.num_channels(), work.height // self.factor, work.width // self.factor)
        noise = randn_tensor(shape, generator=generator, device=self.device, dtype=self.dtype)
        latents = self.pack(noise)
        self.set_timesteps(scheduler, work.num_inference_steps, latents)
        if self.sets_begin and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(0)
        # Those that flow begin with plain noise, and have no such number.
        latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
        size = (work.width, work.height)
        return Picture(
            size, work.num_inference_steps, work.guidance_scale, scheduler, latents, conditions, generator
        )

    def num_channels(self) -> int:
        return int(self.denoiser.config.in_channels)

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [1, C, h, w] in the form that the denoiser takes."""
        return latents

    def set_timesteps(self, scheduler: Any, num_steps: int, latents: torch.Tensor) -> None:  # noqa: ARG002
        scheduler.set_timesteps(num_steps, device=self.device)

    @abstractmethod
    def encode(self, work: ImageWork) -> Conditions:
        """The prompt as the denoiser takes it: one row, or two with the negative first."""

    def is_guided(self, work: ImageWork) -> bool:
        """Whether each step compares with the negative prompt."""
        return work.guidance_scale > 1

    def advance(self, pictures: Sequence[Picture]) -> None:
        rows = [picture.rows() for picture in pictures]
        conditions = {name: torch.cat([row.conditions[name] for row in rows]) for name in rows[0].conditions}
        latents = torch.cat([row.latents for row in rows])
        timesteps = torch.cat([row.timesteps for row in rows])
        prediction = self.predict(latents, timesteps, conditions, pictures[0])
        for picture, part in zip(
            pictures, torch.split(prediction, [len(row.timesteps) for row in rows]), strict=True
        ):
            picture.take(part)

    def predict(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        conditions: dict[str, Any],
        one: Picture,  # noqa: ARG002
    ) -> torch.Tensor:
        """The denoiser's answer to a batch; all its pictures are of the size of `one`."""
        named = {self.input_name: latents, "timestep": timesteps}
        prediction: torch.Tensor = self.denoiser(**named, **conditions, return_dict=False)[0]
        return prediction

    def latents(self, picture: Picture) -> torch.Tensor | None:
        return picture.latents if picture.is_denoised else picture.scaled_latents()

    def finish(self, picture: Picture) -> Image:
        latents = self.latents(picture)
        assert latents is not None
        return self.decode(latents)

    def decode(self, latents: torch.Tensor) -> Image:
        vae = self.pipeline.vae
        decoded = vae.decode(self.to_vae(latents).to(vae.dtype), return_dict=False)[0]
        return self.to_image(decoded)

    def to_vae(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents as the decoder takes them."""
        config = self.pipeline.vae.config
        scale: float = config.scaling_factor
        shift: float = getattr(config, "shift_factor", None) or 0.0
        return latents / scale + shift

    def to_image(self, decoded: torch.Tensor) -> Image:
        """A picture of the decoder's values [1, 3, H, W], -1 to 1."""
        image: Image = self.pipeline.image_processor.postprocess(decoded, output_type="pil")[0]
        return image
