"""The third stage: a UNet that denoises latents under the frozen text encoder's eyes.

Latent diffusion (Rombach et al. 2022) with the velocity as its target (Salimans & Ho 2022) and a noise
schedule that ends in pure noise (Lin et al. 2024): without that, plain black and white backgrounds come
out grey.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch.nn.functional import mse_loss
from transformers import CLIPTokenizer

from workers.embedded.training import descent
from workers.embedded.training.descent import Model, adam
from workers.embedded.training.scenes.autoencoder import CHANNELS
from workers.embedded.training.scenes.captions import caption, said
from workers.embedded.training.scenes.gallery import Gallery
from workers.embedded.training.scenes.reader import WIDTH, tokens_of
from workers.embedded.training.scenes.scene import SIDE
from workers.embedded.training.schedule import Done, Schedule

LATENT_SIDE = SIDE // 4


@dataclass(frozen=True)
class Plan(Schedule):
    """Draws from a gallery of `pictures`; shows `unprompted` of them without their prompt."""

    steps: int = 8000
    learning_rate: float = 7e-4
    warmup: int = 200
    batch: int = 32
    unprompted: float = 0.1
    pictures: int = 40_000
    seed: int = 30_000_000


def build_denoiser(seed: int) -> Model:
    """A fresh UNet of about 7.5 million parameters, with attention at 8x8 and 4x4 latents."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(  # type: ignore[no-untyped-call]
        sample_size=LATENT_SIDE,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(64, 96, 160),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=WIDTH,
        # diffusers means the number of heads (its issue 2011).
        attention_head_dim=4,
    )


def build_scheduler() -> Model:
    """The noise schedule in training, and the sampler that ships."""
    return DDIMScheduler(  # type: ignore[no-untyped-call]
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        # Without meaning for this spacing; StableDiffusionPipeline wants it so.
        steps_offset=1,
    )


class Lessons:
    """What each step shows: latents from the gallery with a fresh wording of their scenes."""

    def __init__(self, gallery: Gallery, reader: Model, tokenizer: CLIPTokenizer, plan: Plan) -> None:
        self._gallery = gallery
        self._reader = reader.eval()
        self._tokenizer = tokenizer
        self._plan = plan

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents [B, C, H, W] and hidden states [B, CONTEXT, WIDTH], float32."""
        dice = Random(self._plan.seed + step)
        drawn = [dice.randrange(len(self._gallery)) for _ in range(self._plan.batch)]
        texts = [self._text(self._gallery.scene(number), dice) for number in drawn]
        device = self._reader.device
        token_ids = tokens_of(self._tokenizer, texts).to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            hidden = self._reader(token_ids).last_hidden_state
        return self._gallery.latents(drawn).to(device), hidden.float().clone()

    def _text(self, scene: object, dice: Random) -> str:
        if dice.random() < self._plan.unprompted:
            return ""
        return caption(said(scene, dice), dice)  # type: ignore[arg-type]


def train(
    model: Model, lessons: Lessons, plan: Plan, checkpoint: Path, log: Callable[[str], None] = print
) -> Done:
    """Trains from the checkpoint, if there is one, to the plan's end."""
    # On a CPU plain attention in bfloat16 takes a third less time than the fused one at these sizes.
    model.set_attn_processor(AttnProcessor())
    scheduler = build_scheduler()
    groups = [{"params": list(model.parameters()), "weight_decay": 0.01}]

    def loss_at(step: int) -> tuple[torch.Tensor, int]:
        torch.manual_seed(plan.seed + step)
        latents, hidden = lessons.batch(step)
        noise = torch.randn_like(latents)
        # One timestep from each of B equal parts: a batch sees all degrees of noise.
        parts = (torch.arange(len(latents)) + torch.rand(len(latents))) / len(latents)
        at = (parts * len(scheduler.alphas_cumprod)).long().to(latents.device)
        with torch.autocast(latents.device.type, torch.bfloat16):
            found = model(scheduler.add_noise(latents, noise, at), at, hidden).sample
        loss = mse_loss(found.float(), scheduler.get_velocity(latents, noise, at))
        return loss, len(latents)

    return descent.train(model, adam(groups, plan, (0.9, 0.99)), plan, loss_at, checkpoint, log)
