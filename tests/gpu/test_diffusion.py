"""The image engine on a GPU: the same pictures as on the CPU, and its memory given back."""

import gc
from pathlib import Path

import pytest
import torch

from tests.image_models import save_flux, save_sd, save_sd3, save_sdxl
from tests.workers.diffusion.drawing import (
    PROMPTS,
    Save,
    difference,
    ends_of,
    make_engine,
    pictures_of,
    run,
    work_of,
)
from workers.messages import Failed

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU"),
    # Said inside diffusers, by NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.mark.parametrize("save", [save_sd, save_sdxl, save_sd3, save_flux])
def test_the_same_pictures_as_on_the_cpu(save: Save, tmp_path: Path) -> None:
    folder = save(tmp_path)
    pictures = []
    for device in ("cpu", "cuda"):
        engine = make_engine(folder, device=device, dtype="float32")
        for job_id, prompt in enumerate(PROMPTS):
            engine.add(job_id, work_of(engine, prompt, job_id, num_inference_steps=job_id + 2))
        events = run(engine)
        pictures.append([pictures_of(events, job_id)[0] for job_id in range(len(PROMPTS))])
    for one, other in zip(*pictures, strict=True):
        assert difference(one, other) <= 4


def test_a_cancelled_jobs_memory_comes_back(tmp_path: Path) -> None:
    engine = make_engine(save_sd(tmp_path), device="cuda")
    engine.add(1, work_of(engine))
    run(engine)
    gc.collect()
    before = torch.cuda.memory_allocated()
    engine.add(2, work_of(engine, num_inference_steps=50, seeds=list(range(8))))
    engine.step()
    assert torch.cuda.memory_allocated() > before
    engine.cancel(2)
    run(engine)
    gc.collect()
    assert torch.cuda.memory_allocated() <= before


def test_what_does_not_fit_fails_alone(tmp_path: Path) -> None:
    engine = make_engine(save_sd(tmp_path), device="cuda")
    # More than any card has: attention over 4,096 x 4,096 latents.
    engine.add(1, work_of(engine, width=8192, height=8192))
    engine.add(2, work_of(engine))
    events = run(engine)
    (failure,) = ends_of(events, 1)
    assert isinstance(failure, Failed)
    assert failure.code == "out_of_memory"
    assert len(pictures_of(events, 2)) == 1
