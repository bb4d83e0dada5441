"""Stable Diffusion 1 and 2 and their turbo and consistency models, and SDXL: UNets under CLIP's eyes."""

from typing import Any

import torch
from PIL.Image import Image

from workers.diffusion.batched import BatchedPainter
from workers.diffusion.picture import Conditions, Picture
from workers.messages import ImageWork


class StablePainter(BatchedPainter):
    """As `StableDiffusionPipeline` does it."""

    min_multiple = 8
    input_name = "sample"

    @property
    def denoiser(self) -> Any:
        return self.pipeline.unet

    def is_guided(self, work: ImageWork) -> bool:
        return super().is_guided(work) and not self._takes_guidance

    @property
    def _takes_guidance(self) -> bool:
        """Whether the scale is an input of the UNet, as consistency models have it."""
        return self.denoiser.config.time_cond_proj_dim is not None

    def encode(self, work: ImageWork) -> Conditions:
        is_guided = self.is_guided(work)
        positive, negative = self.pipeline.encode_prompt(
            work.prompt, self.device, 1, is_guided, work.negative_prompt
        )
        embeds = torch.cat([negative, positive]) if is_guided else positive
        return {"encoder_hidden_states": embeds} | self._guidance(work)

    def _guidance(self, work: ImageWork) -> Conditions:
        if not self._takes_guidance:
            return {}
        scale = torch.tensor([work.guidance_scale - 1])
        width = self.denoiser.config.time_cond_proj_dim
        embedded = self.pipeline.get_guidance_scale_embedding(scale, embedding_dim=width)
        return {"timestep_cond": embedded.to(self.device, self.dtype)}

    def to_image(self, decoded: torch.Tensor) -> Image:
        """Where the model has a safety checker, what that finds is black."""
        if getattr(self.pipeline, "safety_checker", None) is None:
            return super().to_image(decoded)
        decoded, flags = self.pipeline.run_safety_checker(decoded, self.device, self.dtype)
        processor = self.pipeline.image_processor
        image: Image = processor.postprocess(decoded, output_type="pil", do_denormalize=[not flags[0]])[0]
        return image


class XlPainter(StablePainter):
    """As `StableDiffusionXLPipeline` does it: two text encoders, and the size as an input."""

    sets_begin = True

    def own_size(self) -> tuple[int, int]:
        side = self.pipeline.default_sample_size * self.factor
        return side, side

    def encode(self, work: ImageWork) -> Conditions:
        is_guided = self.is_guided(work)
        positive, negative, pooled, negative_pooled = self.pipeline.encode_prompt(
            work.prompt,
            device=self.device,
            do_classifier_free_guidance=is_guided,
            # None and "" differ: a model may want zeros for what was not given.
            negative_prompt=work.negative_prompt or None,
        )
        if is_guided:
            positive, pooled = torch.cat([negative, positive]), torch.cat([negative_pooled, pooled])
        conditions = {"encoder_hidden_states": positive, "text_embeds": pooled}
        return conditions | {"time_ids": self._time_ids(work, len(positive))} | self._guidance(work)

    def _time_ids(self, work: ImageWork, num_rows: int) -> torch.Tensor:
        """Original size, crop and target size, each height first. [R, 6]."""
        size = (work.height, work.width)
        ids = torch.tensor([[*size, 0, 0, *size]], dtype=self.dtype, device=self.device)
        return ids.expand(num_rows, -1)

    def predict(
        self, latents: torch.Tensor, timesteps: torch.Tensor, conditions: dict[str, Any], one: Picture
    ) -> torch.Tensor:
        added = {name: conditions[name] for name in ("text_embeds", "time_ids")}
        others = {name: conditions[name] for name in conditions if name not in added}
        return super().predict(latents, timesteps, others | {"added_cond_kwargs": added}, one)

    def decode(self, latents: torch.Tensor) -> Image:
        """In float32 where the decoder overflows in float16."""
        vae = self.pipeline.vae
        if vae.dtype == torch.float16 and vae.config.force_upcast:
            vae.to(torch.float32)
        return super().decode(latents)

    def to_vae(self, latents: torch.Tensor) -> torch.Tensor:
        config = self.pipeline.vae.config
        mean, deviation = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is None or deviation is None:
            return super().to_vae(latents)
        mean, deviation = (
            torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1)
            for values in (mean, deviation)
        )
        scale: float = config.scaling_factor
        return latents * deviation / scale + mean
