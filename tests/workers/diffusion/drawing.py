"""Runs an engine by hand, and asks diffusers for the same pictures."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from msgspec import structs
from PIL import Image as Pillow

from config.load import DEFAULT_FILE, Layers
from config.settings import ModelSettings
from workers.diffusion.engine import DiffusionEngine
from workers.messages import Event, Failed, Finished, Images, ImageWork, JobId

Save = Callable[..., Path]
# Some families name a size of their own that is large whatever the model is.
SIDE = 64
PROMPTS = ("the fox in the box", "a thing", "of the fox")


def settings_for(folder: Path, **changes: Any) -> ModelSettings:
    """The shipped settings, for a model in a folder."""
    layers = Layers()
    layers.lay_file(DEFAULT_FILE)
    usual = layers.build().model_defaults
    fields = {"engine": "diffusion", "path": str(folder), "device": "cpu"} | changes
    return structs.replace(usual, **fields)


def make_engine(folder: Path, **changes: Any) -> DiffusionEngine:
    return DiffusionEngine("drawer", settings_for(folder, **changes))


def work_of(engine: DiffusionEngine, prompt: str = PROMPTS[0], seed: int = 1, **changes: Any) -> ImageWork:
    """A small PNG, so that every pixel can be compared."""
    limits = engine.limits.image
    assert limits
    side = min(limits.width, SIDE)
    usual = ImageWork(prompt, [seed], side, side, 3, 5.0, preview=limits.previews[0], image_format="png")
    return structs.replace(usual, **changes)


def run(engine: DiffusionEngine, max_steps: int = 500) -> list[Event]:
    """Steps until nothing is left to do."""
    events: list[Event] = []
    for _ in range(max_steps):
        if not engine.has_work():
            return events
        events += engine.step()
    raise AssertionError(f"still at work after {max_steps} steps")


def pictures_of(events: list[Event], job_id: JobId) -> list[np.ndarray]:
    (found,) = (event for event in events if isinstance(event, Images) and event.job_id == job_id)
    return [pixels(image) for image in found.images]


def ends_of(events: list[Event], job_id: JobId) -> list[Finished | Failed]:
    return [event for event in events if isinstance(event, Finished | Failed) and event.job_id == job_id]


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Pillow.open(BytesIO(image)).convert("RGB")).astype(int)


@torch.inference_mode()
def reference(pipeline: Any, work: ImageWork, **options: Any) -> list[np.ndarray]:
    """What the family's own pipeline makes of the same work."""
    if work.negative_prompt:
        options["negative_prompt"] = work.negative_prompt
    images = [
        pipeline(
            work.prompt,
            num_inference_steps=work.num_inference_steps,
            guidance_scale=work.guidance_scale,
            width=work.width,
            height=work.height,
            generator=torch.Generator().manual_seed(seed),
            **options,
        ).images[0]
        for seed in work.seeds
    ]
    return [np.asarray(image.convert("RGB")).astype(int) for image in images]


def load_reference(folder: Path) -> Any:
    kind: Any = DiffusionPipeline
    index = json.loads((folder / "model_index.json").read_text())
    absent = {name: None for name, part in index.items() if part == [None, None]}
    pipeline = kind.from_pretrained(folder, **absent)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def difference(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of a pixel's value, of 255."""
    assert one.shape == other.shape
    return int(np.abs(one - other).max())
