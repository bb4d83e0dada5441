"""Scenes drawn and encoded once: what the denoiser learns from."""

from pathlib import Path
from random import Random

import torch

from workers.embedded.training.descent import Model
from workers.embedded.training.scenes.draw import draw
from workers.embedded.training.scenes.heldout import training_scene
from workers.embedded.training.scenes.pixels import to_pixels
from workers.embedded.training.scenes.scene import Scene

SEED = 40_000_000
_AT_ONCE = 50


class Gallery:
    """Numbered training scenes with their latents. Scene n is a function of n, so only latents are kept."""

    def __init__(self, latents: torch.Tensor) -> None:
        self._latents = latents

    def __len__(self) -> int:
        return len(self._latents)

    def scene(self, number: int) -> Scene:
        return training_scene(Random(SEED + number))

    def latents(self, numbers: list[int]) -> torch.Tensor:
        """[B, C, H, W] float32."""
        return self._latents[numbers].float()


@torch.inference_mode()
def encode(autoencoder: Model, first: int, last: int) -> torch.Tensor:
    """Latents of scenes `first` to `last`, [B, C, H, W] float16."""
    found = []
    for start in range(first, last, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, last))
        images = []
        for number in numbers:
            dice = Random(SEED + number)
            images.append(draw(training_scene(dice), dice))
        found.append(autoencoder.encode(to_pixels(images).to(autoencoder.device)).latent_dist.mode().half())
    return torch.cat(found)


@torch.no_grad()
def standardise(autoencoder: Model, latents: torch.Tensor) -> None:
    """Changes the weights so that each latent channel has mean 0 and deviation 1; pictures stay the same."""
    mean, deviation = (part.flatten() for part in _moments(latents.float()))
    inward, outward = autoencoder.quant_conv, autoencoder.post_quant_conv
    channels = len(mean)
    outward.bias += outward.weight[:, :, 0, 0] @ mean
    outward.weight *= deviation[None, :, None, None]
    inward.bias[:channels] = (inward.bias[:channels] - mean) / deviation
    inward.weight[:channels] /= deviation[:, None, None, None]
    # The other half of the channels are the logarithms of the variances.
    inward.bias[channels:] -= 2 * deviation.log()


def _moments(latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return latents.mean((0, 2, 3)), latents.std((0, 2, 3))


def open_gallery(autoencoder: Model, size: int, path: Path) -> Gallery:
    """The gallery under `path`, made there first if it is not."""
    if not path.exists():
        torch.save(encode(autoencoder, 0, size).cpu(), path)
    return Gallery(torch.load(path, weights_only=True))
