"""Transformers that flow from noise to picture: Stable Diffusion 3 and Flux."""

from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from workers.diffusion.batched import BatchedPainter, Pipeline
from workers.diffusion.picture import Conditions, Picture
from workers.messages import ImageWork

# What T5 reads of a prompt, unless its tokenizer says less.
MAX_TOKENS = 512


class FlowPainter(BatchedPainter):
    @property
    def denoiser(self) -> Any:
        return self.pipeline.transformer

    def own_size(self) -> tuple[int, int]:
        side = self.pipeline.default_sample_size * self.factor
        return side, side

    def shift(self, num_patches: int, max_shift: float) -> float:
        """How far the schedule leans to noise: larger pictures need more of it."""
        config = self.pipeline.scheduler.config
        shift: float = calculate_shift(
            num_patches,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", max_shift),
        )
        return shift


class Sd3Painter(FlowPainter):
    """As `StableDiffusion3Pipeline` does it."""

    @property
    def patch(self) -> int:
        return int(self.pipeline.patch_size)

    def set_timesteps(self, scheduler: Any, num_steps: int, latents: torch.Tensor) -> None:
        options = {}
        if scheduler.config.get("use_dynamic_shifting"):
            height, width = latents.shape[-2:]
            options["mu"] = self.shift((height // self.patch) * (width // self.patch), 1.16)
        scheduler.set_timesteps(num_steps, device=self.device, **options)

    def encode(self, work: ImageWork) -> Conditions:
        is_guided = self.is_guided(work)
        positive, negative, pooled, negative_pooled = self.pipeline.encode_prompt(
            work.prompt,
            None,
            None,
            device=self.device,
            do_classifier_free_guidance=is_guided,
            negative_prompt=work.negative_prompt,
        )
        if is_guided:
            positive, pooled = torch.cat([negative, positive]), torch.cat([negative_pooled, pooled])
        return {"encoder_hidden_states": positive, "pooled_projections": pooled}


class FluxPainter(FlowPainter):
    """As `FluxPipeline` does it: patches of 2x2 latents in a row, the guidance scale an input."""

    sets_begin = True

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self._has_guidance = bool(self.denoiser.config.guidance_embeds)

    @property
    def patch(self) -> int:
        return 2

    def num_channels(self) -> int:
        return int(self.denoiser.config.in_channels) // 4

    def pack(self, latents: torch.Tensor) -> torch.Tensor:
        """[1, C, h, w] to [1, h*w/4, 4C]."""
        packed: torch.Tensor = self.pipeline._pack_latents(latents, *latents.shape)
        return packed

    def is_guided(self, work: ImageWork) -> bool:  # noqa: ARG002
        return False

    def set_timesteps(self, scheduler: Any, num_steps: int, latents: torch.Tensor) -> None:
        mu = self.shift(latents.shape[1], 1.15)
        if scheduler.config.get("use_flow_sigmas"):
            scheduler.set_timesteps(num_steps, device=self.device, mu=mu)
        else:
            sigmas = np.linspace(1.0, 1 / num_steps, num_steps)
            scheduler.set_timesteps(sigmas=sigmas, device=self.device, mu=mu)

    def encode(self, work: ImageWork) -> Conditions:
        max_tokens = min(MAX_TOKENS, self.pipeline.tokenizer_2.model_max_length)
        embeds, pooled, _ = self.pipeline.encode_prompt(
            work.prompt, None, device=self.device, max_sequence_length=max_tokens
        )
        conditions = {"encoder_hidden_states": embeds, "pooled_projections": pooled}
        if self._has_guidance:
            conditions["guidance"] = torch.full([1], work.guidance_scale, device=self.device)
        return conditions

    def predict(
        self, latents: torch.Tensor, timesteps: torch.Tensor, conditions: dict[str, Any], one: Picture
    ) -> torch.Tensor:
        side = self.factor * self.patch
        rows, columns = one.height // side, one.width // side
        text = conditions["encoder_hidden_states"]
        places = {
            "txt_ids": torch.zeros(text.shape[1], 3, device=self.device, dtype=self.dtype),
            "img_ids": self.pipeline._prepare_latent_image_ids(1, rows, columns, self.device, self.dtype),
        }
        share = timesteps.to(latents.dtype) / 1000
        return super().predict(latents, share, {"guidance": None} | conditions | places, one)

    def latents(self, picture: Picture) -> torch.Tensor | None:
        unpacked: torch.Tensor = self.pipeline._unpack_latents(
            picture.latents, picture.height, picture.width, self.factor
        )
        return unpacked
