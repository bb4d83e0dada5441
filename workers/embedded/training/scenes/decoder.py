"""The last stage: the autoencoder's decoder alone learns on, for sharper edges; its latents stay as they are.

The denoiser needs the latents, and those are the encoder's. So this stage may follow any denoiser, and the
decoder sees every picture whole, with latents a little wrong, as a denoiser's are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from PIL import Image
from torch import nn

from workers.embedded.training import descent
from workers.embedded.training.descent import Model, adam
from workers.embedded.training.scenes.draw import draw
from workers.embedded.training.scenes.heldout import training_scene
from workers.embedded.training.scenes.pixels import to_pixels
from workers.embedded.training.scenes.scene import LANDSCAPES, Scene
from workers.embedded.training.schedule import Done, Schedule


@dataclass(frozen=True)
class Plan(Schedule):
    """`noise` is the deviation of what is added to latents, whose own deviation is 1.

    A share `small` of the pictures is chosen to show small objects, or several. After 2400 updates on
    scenes as they come, the judge knew one object's shape in 187 of 200 decoded drawings, but the shapes
    of two in only 40 of 60.
    The first `rough` of the steps multiply in bfloat16, twice as fast; what they cannot tell apart
    (one grade in 255, next to white) the others learn.
    """

    steps: int = 4500
    learning_rate: float = 1e-3
    batch: int = 16
    noise: float = 0.02
    small: float = 0.6
    rough: float = 0.8
    seed: int = 50_000_000


def decoding_half(autoencoder: Model) -> Model:
    """The part that this stage trains, as a module of its own; it shares its weights with the whole."""
    return nn.ModuleDict({"post_quant_conv": autoencoder.post_quant_conv, "decoder": autoencoder.decoder})


def _is_small(scene: Scene) -> bool:
    return scene.background not in LANDSCAPES and (
        len(scene.items) > 1 or any(item.size == "small" or item.count > 1 for item in scene.items)
    )


def _picture(dice: Random, small: float) -> Image.Image:
    must_be_small = dice.random() < small
    scene = training_scene(dice)
    while must_be_small and not _is_small(scene):
        scene = training_scene(dice)
    return draw(scene, dice)


def _loss(autoencoder: Model, pixels: torch.Tensor, noise: float) -> torch.Tensor:
    with torch.no_grad():
        latents = autoencoder.encode(pixels).latent_dist.mode().float()
    error = autoencoder.decode(latents + noise * torch.randn_like(latents)).sample.float() - pixels
    loss: torch.Tensor = error.abs().mean() + error.square().mean()
    return loss


def train(autoencoder: Model, plan: Plan, checkpoint: Path, log: Callable[[str], None] = print) -> Done:
    """Trains the decoding half from the checkpoint, if there is one, to the plan's end."""
    half = decoding_half(autoencoder)
    groups = [{"params": list(half.parameters()), "weight_decay": 0.0}]

    def loss_at(step: int) -> tuple[torch.Tensor, int]:
        torch.manual_seed(plan.seed + step)
        dice = Random(plan.seed + step)
        pixels = to_pixels([_picture(dice, plan.small) for _ in range(plan.batch)])
        pixels = pixels.to(autoencoder.device)
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=step < plan.rough * plan.steps):
            return _loss(autoencoder, pixels, plan.noise), plan.batch

    return descent.train(half, adam(groups, plan, (0.9, 0.99)), plan, loss_at, checkpoint, log)
