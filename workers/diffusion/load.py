"""From a model's settings to a painter on its device, or one line that says why not."""

import inspect
from typing import Any, NamedTuple

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging

from config.settings import ModelSettings
from workers.diffusion.batched import Pipeline
from workers.diffusion.callback import CallbackPainter
from workers.diffusion.flow import FluxPainter, Sd3Painter
from workers.diffusion.painter import Painter
from workers.diffusion.preview import Previews
from workers.diffusion.stable import StablePainter, XlPainter
from workers.embedded import IMAGE
from workers.errors import LoadError
from workers.hub import device_of, dtype_of, one_line, options_of, settle, source_of

PAINTERS: dict[str, type[Painter[Any]]] = {
    "StableDiffusionPipeline": StablePainter,
    "LatentConsistencyModelPipeline": StablePainter,
    "StableDiffusionXLPipeline": XlPainter,
    "StableDiffusion3Pipeline": Sd3Painter,
    "FluxPipeline": FluxPainter,
}


class LoadedPipeline(NamedTuple):
    painter: Painter[Any]
    previews: Previews
    description: str


@torch.inference_mode()
def load(settings: ModelSettings) -> LoadedPipeline:
    """Raises LoadError."""
    settle()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    source = source_of(settings.path, IMAGE, index="model_index.json")
    device = device_of(settings.device)
    dtype = dtype_of(settings.dtype, device)
    options = options_of(settings)
    kind: Any = DiffusionPipeline
    try:
        pipeline: Pipeline = kind.from_pretrained(source, dtype=dtype, **_absent(source, options), **options)
        pipeline.to(device)
    except Exception as error:
        raise LoadError(f'model "{settings.path}" cannot be loaded: {one_line(error)}') from error
    pipeline.set_progress_bar_config(disable=True)
    painter = _painter(pipeline, settings.path)
    previews = Previews(painter, getattr(pipeline, "vae", None), settings)
    return LoadedPipeline(painter, previews, _describe(pipeline, painter, dtype, device))


def _absent(source: str, options: dict[str, Any]) -> dict[str, None]:
    """Parts that the folder says it has not, as SD3 without its T5: some classes want to be told so."""
    kind: Any = DiffusionPipeline
    index = kind.load_config(source, revision=options["revision"])
    return {name: None for name, part in index.items() if isinstance(part, list) and part[:2] == [None, None]}


def _painter(pipeline: Pipeline, path: str) -> Painter[Any]:
    name = type(pipeline).__name__
    if name in PAINTERS:
        return PAINTERS[name](pipeline)  # type: ignore[call-arg]
    known = inspect.signature(pipeline.__call__).parameters
    if not {"prompt", "num_inference_steps"} <= known.keys() or _needs_more(known):
        raise LoadError(f'model "{path}" is a {name}, which makes no pictures from text alone')
    if "callback_on_step_end" not in known:
        raise LoadError(f'model "{path}" is a {name}, which cannot be stepped and does not report its steps')
    return CallbackPainter(pipeline)


def _needs_more(known: Any) -> bool:
    """Whether its call must be given more than a prompt, or makes films."""
    required = [name for name, one in known.items() if one.default is one.empty and name != "prompt"]
    return bool(set(required) - {"args", "kwargs"}) or "num_frames" in known


def _describe(pipeline: Pipeline, painter: Painter[Any], dtype: torch.dtype, device: torch.device) -> str:
    """Such as "StableDiffusionPipeline, 9.1 M parameters, float32 on cpu, 64x64 pixels"."""
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    size = sum(weight.numel() for part in parts for weight in part.parameters()) / 1e6
    name, width, height = type(pipeline).__name__, *painter.size
    kind = str(dtype).removeprefix("torch.")
    return f"{name}, {size:,.1f} M parameters, {kind} on {device}, {width}x{height} pixels"
