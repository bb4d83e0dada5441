"""The image engine keeps the promises of every engine, step by step."""

import gc
import json
import weakref
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ExifTags, Image

from tests.workers.diffusion.drawing import difference, ends_of, make_engine, pictures_of, run, work_of
from workers.diffusion.engine import DiffusionEngine
from workers.diffusion.picture import Picture
from workers.errors import JobError
from workers.messages import Accepted, Event, Failed, Finished, Images, ImageStep, Started, Usage


def steps_of(events: list[Event], job_id: int = 1) -> list[int]:
    return [event.step for event in events if isinstance(event, ImageStep) and event.job_id == job_id]


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_job_tells_each_step_then_its_pictures_then_its_end(engine: DiffusionEngine) -> None:
    accepted = engine.add(1, work_of(engine, "the fox", seeds=[5, 6]))
    assert isinstance(accepted, Accepted)
    assert accepted.prompt_tokens == 4
    events = run(engine)
    assert kinds(events) == ["Started", "ImageStep", "ImageStep", "ImageStep", "Images", "Finished"]
    assert [event.total for event in events if isinstance(event, ImageStep)] == [3, 3, 3]
    usage = Usage(4, 0, 3)
    assert events[-1] == Finished(1, "completed", usage, [])
    images = events[-2]
    assert isinstance(images, Images)
    assert images.seeds == [5, 6]
    assert images.usage == usage
    assert difference(*pictures_of(events, 1)) > 0
    assert not engine.has_work()


def test_the_same_seed_makes_the_same_picture(engine: DiffusionEngine) -> None:
    for job_id, seed in ((1, 7), (2, 7), (3, 8)):
        engine.add(job_id, work_of(engine, seed=seed))
    events = run(engine)
    one, two, three = (pictures_of(events, job_id)[0] for job_id in (1, 2, 3))
    assert difference(one, two) <= 1
    assert difference(one, three) > 2


def test_jobs_join_and_leave_at_steps(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine, num_inference_steps=6))
    first = engine.step()
    engine.add(2, work_of(engine, num_inference_steps=2))
    events = run(engine)
    assert steps_of(first) == [1]
    ended = [event.job_id for event in events if isinstance(event, Finished)]
    assert ended == [2, 1]
    # Together for the two steps of the second.
    assert steps_of(events, 1) == [2, 3, 4, 5, 6]
    assert kinds(events)[:3] == ["Started", "ImageStep", "ImageStep"]


def test_more_than_fit_wait_their_turn_in_order(engine: DiffusionEngine) -> None:
    for job_id in range(1, 8):
        engine.add(job_id, work_of(engine, num_inference_steps=2))
    events = engine.step()
    assert [event.job_id for event in events if isinstance(event, Started)] == [1, 2, 3, 4]
    stats = engine.stats()
    assert (stats.num_running, stats.num_waiting) == (4, 3)
    events += run(engine)
    assert [event.job_id for event in events if isinstance(event, Finished)] == list(range(1, 8))


def test_a_job_of_more_pictures_than_fit_is_made_in_turns(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine, seeds=list(range(6)), preview_steps=[1, 2]))
    events = run(engine)
    assert steps_of(events) == [1, 2, 3]
    previews = [event.previews for event in events if isinstance(event, ImageStep)]
    assert [len(each) for each in previews] == [6, 6, 0]
    assert len(pictures_of(events, 1)) == 6


def test_unequal_shapes_take_turns(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine, width=32, height=32, num_inference_steps=4))
    engine.add(2, work_of(engine, num_inference_steps=4))
    events = run(engine)
    told = [event.job_id for event in events if isinstance(event, ImageStep)]
    assert told[:6] == [1, 2, 1, 2, 1, 2]


def test_cancel_ends_a_job_before_the_next_step(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine, num_inference_steps=50))
    engine.add(2, work_of(engine))
    events = engine.step()
    engine.cancel(1)
    engine.cancel(77)
    events += engine.step()
    assert steps_of(events) == [1]
    assert ends_of(events, 1) == [Finished(1, "cancelled", Usage(events_tokens(events), 0, 1), [])]
    assert len(pictures_of(events + run(engine), 2)) == 1


def events_tokens(events: list[Event]) -> int:
    """The prompt's tokens, as the job's end counts them."""
    return next(event.usage.prompt_tokens for event in events if isinstance(event, Finished))


def test_a_job_cancelled_while_it_waits_never_starts(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine))
    engine.cancel(1)
    assert kinds(run(engine)) == ["Finished"]


def test_a_cancelled_jobs_latents_are_free(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine, num_inference_steps=50))
    engine.step()
    latents = weakref.ref(engine._jobs[1].pictures[0].latents)
    engine.cancel(1)
    run(engine)
    gc.collect()
    assert latents() is None


def test_pause_leaves_a_job_out_and_its_neighbour_alone(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine, num_inference_steps=5))
    engine.add(2, work_of(engine, num_inference_steps=5))
    events = engine.step()
    engine.pause(1)
    events += run(engine)
    assert steps_of(events, 1) == [1]
    assert steps_of(events, 2) == [1, 2, 3, 4, 5]
    assert engine.stats().num_paused == 1
    engine.resume(1)
    events += run(engine)
    assert steps_of(events, 1) == [1, 2, 3, 4, 5]
    assert difference(pictures_of(events, 1)[0], pictures_of(events, 2)[0]) <= 1


def test_paused_before_it_begins_it_lets_others_pass(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine))
    engine.pause(1)
    engine.add(2, work_of(engine))
    assert len(pictures_of(run(engine), 2)) == 1
    engine.resume(1)
    assert len(pictures_of(run(engine), 1)) == 1


@pytest.mark.parametrize(("image_format", "name"), [("jpeg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_files_say_how_they_were_made(engine: DiffusionEngine, image_format: str, name: str) -> None:
    engine.add(1, work_of(engine, "the fox ü", seed=9, image_format=image_format, preview_steps=[1]))
    events = run(engine)
    (images,) = (event for event in events if isinstance(event, Images))
    image = Image.open(BytesIO(images.images[0]))
    assert image.format == name
    told = image.info["parameters"] if name == "PNG" else image.getexif()[ExifTags.Base.ImageDescription]
    facts = json.loads(told)
    assert (facts["prompt"], facts["seed"], facts["steps"], facts["model"]) == ("the fox ü", 9, 3, "drawer")
    (preview,) = next(event.previews for event in events if isinstance(event, ImageStep) and event.previews)
    assert Image.open(BytesIO(preview)).format == name


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"width": 63}, "width"),
        ({"height": 0}, "height"),
        ({"preview": "magic", "preview_steps": [1]}, "preview"),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    engine: DiffusionEngine, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(JobError, match=field) as caught:
        engine.add(1, work_of(engine, **changes))
    assert (caught.value.code, caught.value.param) == ("bad_params", field)
    assert not engine.job_ids()


# Memory

Predict = Callable[..., torch.Tensor]


def starve(monkeypatch: pytest.MonkeyPatch, engine: DiffusionEngine, fits: Callable[[int], bool]) -> None:
    """Let the denoiser run out of memory for numbers of rows that do not fit."""
    painter: Any = engine._painter
    predict: Predict = painter.predict

    def scarce(latents: torch.Tensor, *arguments: Any) -> torch.Tensor:
        if not fits(len(latents)):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return predict(latents, *arguments)

    monkeypatch.setattr(painter, "predict", scarce)


def test_a_batch_that_does_not_fit_is_made_job_by_job(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    starve(monkeypatch, engine, lambda num_rows: num_rows <= 2)
    engine.add(1, work_of(engine, seed=1))
    engine.add(2, work_of(engine, seed=2))
    engine.add(3, work_of(engine, seeds=[3, 4]))
    events = run(engine)
    (failure,) = ends_of(events, 3)
    assert isinstance(failure, Failed)
    assert (failure.code, failure.usage.num_items) == ("out_of_memory", 0)
    assert "2 at once" in failure.message
    monkeypatch.undo()
    for job_id in (1, 2):
        engine.add(9, work_of(engine, seed=job_id))
        assert difference(pictures_of(events, job_id)[0], pictures_of(run(engine), 9)[0]) <= 1


def test_a_job_that_began_before_it_did_not_fit_goes_on_with_what_it_has(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second picture's scheduler runs out of memory: the first has made the step, and makes it once."""
    engine.add(1, work_of(engine, seed=1))
    engine.add(2, work_of(engine, seed=2))
    take, calls = Picture.take, []

    def scarce(picture: Picture, prediction: torch.Tensor) -> None:
        calls.append(picture)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        take(picture, prediction)

    monkeypatch.setattr(Picture, "take", scarce)
    events = run(engine)
    assert steps_of(events, 1) == steps_of(events, 2) == [1, 2, 3]
    monkeypatch.undo()
    engine.add(9, work_of(engine, seed=1))
    assert difference(pictures_of(events, 1)[0], pictures_of(run(engine), 9)[0]) <= 1


@pytest.mark.parametrize("station", ["begin", "finish"])
def test_out_of_memory_before_and_after_the_steps(
    engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch, station: str
) -> None:
    painter: Any = engine._painter
    usual, calls = getattr(painter, station), []

    def scarce(argument: Any) -> Any:
        calls.append(argument)
        if len(calls) == 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return usual(argument)

    monkeypatch.setattr(painter, station, scarce)
    engine.add(1, work_of(engine))
    engine.add(2, work_of(engine))
    events = run(engine)
    assert [type(end) for job_id in (1, 2) for end in ends_of(events, job_id)] == [Failed, Finished]


def test_any_other_error_is_the_engines_end(engine: DiffusionEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_pictures: Sequence[Any]) -> None:
        raise RuntimeError("device-side assert")

    engine.add(1, work_of(engine))
    with monkeypatch.context() as patch:
        patch.setattr(engine._painter, "advance", break_down)
        with pytest.raises(RuntimeError, match="device-side"):
            engine.step()
    assert engine.job_ids() == [1]
    engine.cancel(1)
    run(engine)


def test_many_jobs_leave_nothing_behind(sd: Path) -> None:
    engine = make_engine(sd, max_num_seqs=2)
    for job_id in range(12):
        engine.add(job_id, work_of(engine, seed=job_id, num_inference_steps=2, preview_steps=[1]))
        engine.step()
        if job_id % 3 == 0:
            engine.cancel(job_id)
        if job_id % 3 == 1:
            engine.pause(job_id)
            engine.step()
            engine.resume(job_id)
    run(engine)
    assert not engine.job_ids()
    assert not engine._turns
    assert not engine._waiting
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Picture]
