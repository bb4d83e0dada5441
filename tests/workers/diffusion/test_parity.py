"""For the same seed the engine makes the picture that the family's own pipeline in diffusers makes."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import image_models
from tests.workers.diffusion.drawing import (
    PROMPTS,
    SIDE,
    Save,
    difference,
    load_reference,
    make_engine,
    pictures_of,
    reference,
    run,
    work_of,
)

# Said inside diffusers, by NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Of 255, in float32.
MAX_DIFFERENCE = 2

MODELS: dict[str, Save] = {
    "sd1-pndm": image_models.save_sd,
    "sd1-ddim": partial(image_models.save_sd, scheduler="ddim"),
    "sd1-euler": partial(image_models.save_sd, scheduler="euler"),
    "sd1-dpm": partial(image_models.save_sd, scheduler="dpm"),
    "sd2": partial(image_models.save_sd, prediction_type="v_prediction", scheduler="ddim"),
    "sdxl": image_models.save_sdxl,
    "sd3": image_models.save_sd3,
    "sd3-without-t5": partial(image_models.save_sd3, with_t5=False),
    "flux": image_models.save_flux,
    "flux-guided": partial(image_models.save_flux, guidance_embeds=True),
    "other": image_models.save_other,
}


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MODELS[request.param](tmp_path_factory.mktemp(request.param))


def test_alone_and_in_a_mixed_batch(folder: Path) -> None:
    engine, pipeline = make_engine(folder), load_reference(folder)
    works = {
        1: work_of(engine, seed=11),
        2: work_of(engine, PROMPTS[1], 12, num_inference_steps=5, guidance_scale=3.0),
        3: work_of(engine, PROMPTS[2], 13, num_inference_steps=2, guidance_scale=1.0),
        4: work_of(engine, PROMPTS[0], 14, num_inference_steps=4, negative_prompt="ing", seeds=[14, 2**40]),
    }
    wanted = {job_id: reference(pipeline, work, **_options(pipeline, work)) for job_id, work in works.items()}

    engine.add(9, works[1])
    alone = run(engine)
    events = []
    for job_id, work in works.items():
        engine.add(job_id, work)
        # The next one joins when this one is a step on.
        events += engine.step()
    events += run(engine)

    assert difference(pictures_of(alone, 9)[0], wanted[1][0]) <= MAX_DIFFERENCE
    for job_id, pictures in wanted.items():
        for made, known in zip(pictures_of(events, job_id), pictures, strict=True):
            assert difference(made, known) <= MAX_DIFFERENCE


def test_turbo_without_guidance(tmp_path: Path) -> None:
    folder = image_models.save_turbo(tmp_path)
    engine, pipeline = make_engine(folder), load_reference(folder)
    works = [work_of(engine, seed=at, num_inference_steps=at, guidance_scale=0.0) for at in (1, 2, 4)]
    for job_id, work in enumerate(works):
        engine.add(job_id, work)
    events = run(engine)
    for job_id, work in enumerate(works):
        assert difference(pictures_of(events, job_id)[0], reference(pipeline, work)[0]) <= MAX_DIFFERENCE


def test_another_size_than_the_models_own(folder: Path) -> None:
    engine, pipeline = make_engine(folder), load_reference(folder)
    limits = engine.limits.image
    assert limits
    wider = work_of(engine, seed=3, width=SIDE + 2 * limits.size_multiple)
    usual = work_of(engine, seed=4)
    engine.add(1, wider)
    engine.add(2, usual)
    events = run(engine)
    for job_id, work in ((1, wider), (2, usual)):
        known = reference(pipeline, work, **_options(pipeline, work))[0]
        assert difference(pictures_of(events, job_id)[0], known) <= MAX_DIFFERENCE


def _options(pipeline: Any, work: Any) -> dict[str, Any]:
    """Flux takes a negative prompt only for a guidance of its own, which the engine does not offer."""
    if type(pipeline).__name__ != "FluxPipeline":
        return {}
    no_guidance = {"true_cfg_scale": 1.0} if work.negative_prompt else {}
    return no_guidance | {"max_sequence_length": pipeline.tokenizer_2.model_max_length}
