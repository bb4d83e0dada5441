"""What can be loaded says so; what cannot is refused in one line."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.image_models import save_other, save_sd
from tests.workers.diffusion.drawing import ends_of, make_engine, pictures_of, run, settings_for, work_of
from workers.diffusion.callback import CallbackPainter, Run
from workers.diffusion.load import _painter, load
from workers.errors import LoadError
from workers.messages import Failed


def test_limits_and_description(sd: Path) -> None:
    engine = make_engine(sd, image_steps=7, guidance_scale=2.5)
    limits = engine.limits.image
    assert limits
    assert (limits.width, limits.height, limits.num_inference_steps, limits.guidance_scale) == (
        64,
        64,
        7,
        2.5,
    )
    assert limits.previews == ["linear", "full"]
    assert engine.limits.description.startswith("StableDiffusionPipeline, ")
    assert engine.limits.description.endswith("float32 on cpu, 64x64 pixels")


def test_a_folder_without_a_pipeline(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"has no model_index\.json"):
        load(settings_for(tmp_path))
    with pytest.raises(LoadError, match="does not exist"):
        load(settings_for(tmp_path / "nowhere"))


def test_a_folder_with_a_part_missing(tmp_path: Path) -> None:
    folder = save_sd(tmp_path)
    (weights,) = (folder / "unet").glob("*.safetensors")
    weights.unlink()
    with pytest.raises(LoadError, match="cannot be loaded"):
        load(settings_for(folder))


def fake(**parameters: Any) -> Any:
    """A pipeline whose call takes these."""
    kinds = {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in parameters.items()
    }

    class FakePipeline:
        def __call__(self) -> None: ...

    FakePipeline.__call__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *kinds.values()]
    )
    return FakePipeline()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"prompt": None}, "makes no pictures from text alone"),
        ({"prompt": None, "num_inference_steps": 1, "image": inspect.Parameter.empty}, "from text alone"),
        ({"prompt": None, "num_inference_steps": 1, "num_frames": 16}, "from text alone"),
        ({"prompt": None, "num_inference_steps": 1}, "cannot be stepped and does not report its steps"),
    ],
)
def test_pipelines_that_can_neither(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(LoadError, match=f'model "here" is a FakePipeline, which .*{message}'):
        _painter(fake(**parameters), "here")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_other(tmp_path_factory.mktemp("other"))


def test_any_other_pipeline_makes_one_picture_at_a_time(other: Path) -> None:
    engine = make_engine(other)
    assert isinstance(engine._painter, CallbackPainter)
    assert engine.limits.max_num_seqs == 1
    for job_id in (1, 2):
        engine.add(job_id, work_of(engine, seed=job_id, preview_steps=[1]))
    events = run(engine)
    for job_id in (1, 2):
        told = [type(event).__name__ for event in events if event.job_id == job_id]
        assert told == ["Started", "ImageStep", "ImageStep", "ImageStep", "Images", "Finished"]


def test_another_pipeline_is_paused_and_cancelled_between_its_steps(other: Path) -> None:
    engine = make_engine(other)
    engine.add(1, work_of(engine, seed=1, num_inference_steps=4))
    engine.step()
    engine.pause(1)
    engine.add(2, work_of(engine, seed=2))
    assert len(pictures_of(run(engine), 2)) == 1
    picture: Run = engine._jobs[1].pictures[0]
    assert picture.num_done == 1
    engine.cancel(1)
    assert [end.usage.num_items for end in ends_of(run(engine), 1)] == [1]
    assert not picture._thread.is_alive()


def test_what_another_pipeline_refuses_is_the_jobs_end(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(other)
    painter: Any = engine._painter

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise ValueError("`height` has to be divisible by 8 but is 12.")

    with monkeypatch.context() as patch:
        patch.setattr(type(painter._pipeline), "__call__", refuse)
        engine.add(1, work_of(engine))
        (failure,) = ends_of(run(engine), 1)
    assert isinstance(failure, Failed)
    assert (failure.code, failure.message) == ("bad_params", "`height` has to be divisible by 8 but is 12.")
    engine.add(2, work_of(engine))
    assert len(pictures_of(run(engine), 2)) == 1
