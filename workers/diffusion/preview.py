"""Looks at a picture before it is done: latents to colours, cheaply or well."""

import logging
from typing import Any

import diffusers
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d, interpolate

from config.settings import ModelSettings
from workers.diffusion.painter import Painter
from workers.errors import LoadError
from workers.hub import one_line

log = logging.getLogger(__name__)

# The fit's pictures: so many, of so many latents a side, in fields of random colours.
_NUM_FIT, _FIT_LATENTS, _FIT_FIELDS = 6, 16, 4


class LinearDecoder:
    """Each latent's colour as a linear function of its channels, fitted once to the model's own encoder."""

    def __init__(self, weights: torch.Tensor) -> None:
        self._weights = weights

    def __call__(self, latents: torch.Tensor) -> Image.Image:
        """latents [1, C, h, w] to a picture of w x h pixels."""
        flat = latents[0].float().flatten(1).T
        ones = flat.new_ones(len(flat), 1)
        colours = (torch.cat([flat, ones], 1) @ self._weights).clamp(-1, 1)
        return _to_image(colours.T.reshape(3, *latents.shape[2:]))


def fit_linear(vae: Any, factor: int) -> LinearDecoder:
    """Encodes fields of random colours, and solves for the colours that their latents stand for."""
    generator = torch.Generator().manual_seed(0)
    fields = torch.rand(_NUM_FIT, 3, _FIT_FIELDS, _FIT_FIELDS, generator=generator) * 2 - 1
    side = _FIT_LATENTS * factor
    # Half of them with edges, half with slopes.
    half = _NUM_FIT // 2
    sharp = interpolate(fields[:half], size=(side, side), mode="nearest")
    soft = interpolate(fields[half:], size=(side, side), mode="bilinear")
    pixels = torch.cat([sharp, soft])
    latents = _encode(vae, pixels.to(vae.device, vae.dtype)).float()
    wanted = avg_pool2d(pixels, pixels.shape[-1] // latents.shape[-1]).to(latents.device)
    flat = latents.movedim(1, -1).flatten(0, 2)
    flat = torch.cat([flat, flat.new_ones(len(flat), 1)], 1)
    # In float64 on the CPU: some devices cannot solve.
    solved = torch.linalg.lstsq(flat.double().cpu(), wanted.movedim(1, -1).flatten(0, 2).double().cpu())
    return LinearDecoder(solved.solution.float().to(latents.device))


def _encode(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Latents as the denoiser has them."""
    encoded = vae.encode(pixels)
    distribution = getattr(encoded, "latent_dist", None)
    latents: torch.Tensor = distribution.mode() if distribution is not None else encoded.latent
    shift: float = getattr(vae.config, "shift_factor", None) or 0.0
    scale: float = vae.config.scaling_factor
    return (latents - shift) * scale


class TinyDecoder:
    """A small autoencoder trained on the same latents, such as TAESD."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, latents: torch.Tensor) -> Image.Image:
        decoded = self._model.decode(latents.to(self._model.dtype), return_dict=False)[0]
        return _to_image(decoded[0].float().clamp(-1, 1))


def load_tiny(path: str, num_channels: int, device: torch.device, dtype: torch.dtype) -> TinyDecoder:
    """Raises LoadError."""
    try:
        kind: Any = diffusers.AutoencoderTiny
        model = kind.from_pretrained(path, dtype=dtype).to(device).eval()
    except Exception as error:
        raise LoadError(f'preview_path "{path}" cannot be loaded: {one_line(error)}') from error
    found = int(model.config.latent_channels)
    if found != num_channels:
        raise LoadError(f'preview_path "{path}" has {found} latent channels, the model has {num_channels}')
    return TinyDecoder(model)


def _to_image(colours: torch.Tensor) -> Image.Image:
    """[3, h, w] from -1 to 1."""
    pixels = ((colours + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().numpy())


class Previews:
    """All kinds of preview that a model has; `kinds` are their names, the settings' own first."""

    def __init__(self, painter: Painter[Any], vae: Any, settings: ModelSettings) -> None:
        self._painter = painter
        self._decoders: dict[str, Any] = {"full": painter.decode}
        if vae is not None:
            self._add_linear(vae)
            if settings.preview_path:
                channels = int(vae.config.latent_channels)
                self._decoders["tiny"] = load_tiny(settings.preview_path, channels, vae.device, vae.dtype)
        if settings.preview == "tiny" and "tiny" not in self._decoders:
            raise LoadError('preview "tiny" needs preview_path: the folder or hub id of a tiny autoencoder')
        first = settings.preview if settings.preview in self._decoders else "full"
        self.kinds = [first, *(kind for kind in self._decoders if kind != first)]

    def _add_linear(self, vae: Any) -> None:
        factor = 2 ** (len(getattr(vae.config, "block_out_channels", [0] * 4)) - 1)
        try:
            self._decoders["linear"] = fit_linear(vae, factor)
        except Exception as error:
            # An autoencoder of another build: its model still has full previews.
            log.warning("no linear previews", extra={"error": one_line(error)})

    def make(self, picture: Any, kind: str) -> Image.Image | None:
        """The picture as it is now; None where its latents have no form that can be shown."""
        latents = self._painter.latents(picture)
        if latents is None:
            return None
        image: Image.Image = self._decoders[kind](latents)
        return image
