"""The first stage: an autoencoder from 64x64 pixels to 16x16 latents of 4 channels (Rombach et al. 2022)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL

from workers.embedded.training import descent
from workers.embedded.training.descent import Model, adam
from workers.embedded.training.scenes.draw import draw
from workers.embedded.training.scenes.heldout import training_scene
from workers.embedded.training.scenes.pixels import to_pixels
from workers.embedded.training.scenes.scene import SIDE
from workers.embedded.training.schedule import Done, Schedule

CHANNELS = 4


@dataclass(frozen=True)
class Plan(Schedule):
    """The first `cropped` of the steps see quarters of pictures, four times as many in the same time."""

    steps: int = 2000
    learning_rate: float = 2e-3
    batch: int = 16
    cropped: float = 0.6
    divergence: float = 1e-4
    seed: int = 10_000_000


def build_autoencoder(seed: int) -> Model:
    """A fresh AutoencoderKL of about 0.7 million parameters."""
    torch.manual_seed(seed)
    return AutoencoderKL(  # type: ignore[no-untyped-call]
        sample_size=SIDE,
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        # `standardise` sees to it that latents have a deviation of 1.
        scaling_factor=1.0,
    )


def _pixels(plan: Plan, step: int) -> torch.Tensor:
    dice = Random(plan.seed + step)
    pixels = to_pixels([draw(training_scene(dice), dice) for _ in range(plan.batch)])
    if step >= plan.cropped * plan.steps:
        return pixels
    half = SIDE // 2
    quarters = pixels.unfold(2, half, half).unfold(3, half, half)
    return quarters.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, half, half)


def _loss(model: Model, pixels: torch.Tensor, divergence: float) -> torch.Tensor:
    """Absolute and squared error together: the one for sharp edges, the other for true areas."""
    posterior = model.encode(pixels).latent_dist
    error = model.decode(posterior.sample()).sample - pixels
    told = posterior.kl().mean() / posterior.mean[0].numel()
    loss: torch.Tensor = error.abs().mean() + error.square().mean() + divergence * told
    return loss


def train(model: Model, plan: Plan, checkpoint: Path, log: Callable[[str], None] = print) -> Done:
    """Trains from the checkpoint, if there is one, to the plan's end."""
    groups = [{"params": list(model.parameters()), "weight_decay": 0.0}]

    def loss_at(step: int) -> tuple[torch.Tensor, int]:
        torch.manual_seed(plan.seed + step)
        pixels = _pixels(plan, step).to(model.device)
        return _loss(model, pixels, plan.divergence), len(pixels)

    return descent.train(model, adam(groups, plan, (0.9, 0.99)), plan, loss_at, checkpoint, log)
