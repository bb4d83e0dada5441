"""Pictures as the autoencoder takes them."""

import numpy as np
import torch
from PIL import Image


def to_pixels(images: list[Image.Image]) -> torch.Tensor:
    """Pictures of one size as [B, 3, H, W] float32 from -1 to 1."""
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return stacked.permute(0, 3, 1, 2).float() / 127.5 - 1
