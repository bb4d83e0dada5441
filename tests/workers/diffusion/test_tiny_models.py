"""The models that other tests paint with: diffusers loads each, and its pictures are fit to compare."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from tests import image_models

# EulerDiscreteScheduler of diffusers 0.42 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
NO_T5 = {"text_encoder_3": None, "tokenizer_3": None}
SAVES: dict[str, Callable[[Path], Path]] = {
    **{f"sd_{name}": partial(image_models.save_sd, scheduler=name) for name in image_models.SCHEDULERS},
    "sd2": partial(image_models.save_sd, prediction_type="v_prediction", scheduler="ddim"),
    "turbo": image_models.save_turbo,
    "sdxl": image_models.save_sdxl,
    "sd3": image_models.save_sd3,
    "sd3_without_t5": partial(image_models.save_sd3, with_t5=False),
    "flux_schnell": image_models.save_flux,
    "flux_dev": partial(image_models.save_flux, guidance_embeds=True),
    "other": image_models.save_other,
}


def paint(pipeline: DiffusionPipeline, prompt: str = "a fox", **wishes: float) -> NDArray[np.float64]:
    seed = torch.Generator().manual_seed(1)
    size = {"height": 32, "width": 32, "num_inference_steps": 3, "output_type": "np"}
    picture: NDArray[np.float64] = pipeline(prompt, generator=seed, **size, **wishes).images[0]
    return picture * 255


@pytest.mark.parametrize("name", SAVES)
def test_its_picture_is_always_the_same_and_shows_something(name: str, tmp_path: Path) -> None:
    absent = NO_T5 if name == "sd3_without_t5" else {}
    pipeline = DiffusionPipeline.from_pretrained(SAVES[name](tmp_path), **absent)
    pipeline.set_progress_bar_config(disable=True)
    wishes = {"guidance_scale": 0.0} if name == "turbo" else {}
    picture = paint(pipeline, **wishes)
    assert np.array_equal(picture, paint(pipeline, **wishes))
    assert picture.std() > 20
    assert np.abs(picture - paint(pipeline, "two ships", **wishes)).mean() > 2
