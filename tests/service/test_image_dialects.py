"""Steps and pictures -> the objects of the routes for images."""

import json
from base64 import b64decode
from typing import Any

import pytest
from msgspec import structs
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent, ImagesResponse

from service.dialects.dialect import Dialect
from service.dialects.image_generations import ImageGenerationsDialect
from service.dialects.images import BinaryImageDialect, ImageDialect
from service.events import StreamEvent
from service.images import spread
from service.job import Job
from service.streams import Stream
from tests.service.fakes import JOB_ID, FakeControls, accepted, stream_settings
from workers.errors import KINDS
from workers.messages import Failed, Finished, Images, ImageStep, ImageWork, Started, Usage

REASONS = ["cancelled", "client_gone", "slow_client", "deadline", "drained"]
WORK = ImageWork("a fox", [7], 64, 32, 4, 7.5, preview_steps=[2], image_format="png")
SEVERAL = structs.replace(WORK, seeds=[7, 8])
USED = Usage(3, 0, 2)
USAGE = {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3, "steps": 2}
PNG = b"\x89PNG\xff\x00"


def native(work: ImageWork = WORK) -> ImageDialect:
    return ImageDialect("st_1", "sd", work)


def said(dialect: Dialect, event: StreamEvent) -> Any:
    """The one object that says an event."""
    (out,) = dialect.render(event)
    return json.loads(out.body)


def finished(reason: str) -> Finished:
    return Finished(JOB_ID, reason, USED, [])


def images(*pictures: bytes) -> Images:
    return Images(JOB_ID, list(pictures), list(range(7, 7 + len(pictures))), USED)


def test_the_objects_of_one_image() -> None:
    """Names and values are the contract's."""
    assert said(native(), accepted()) == {
        "step": 0,
        "total_steps": 4,
        "status": "initializing",
        "image": None,
        "progress": 0.0,
        "stream_id": "st_1",
    }
    assert said(native(), ImageStep(JOB_ID, 1, 4)) == {
        "step": 1,
        "total_steps": 4,
        "status": "processing",
        "image": None,
        "progress": 0.25,
    }
    assert b64decode(said(native(), ImageStep(JOB_ID, 2, 4, [PNG]))["image"]) == PNG
    last = said(native(), images(PNG))
    assert b64decode(last.pop("image")) == PNG
    assert last == {
        "step": 4,
        "total_steps": 4,
        "status": "complete",
        "progress": 1.0,
        "seed": 7,
        "width": 64,
        "height": 32,
        "image_format": "png",
        "model": "sd",
        "finish_reason": "completed",
        "usage": USAGE,
    }


def test_of_several_the_first_and_all() -> None:
    step = said(native(SEVERAL), ImageStep(JOB_ID, 2, 4, [b"a", b"b"]))
    assert (b64decode(step["image"]), [b64decode(each) for each in step["images"]]) == (b"a", [b"a", b"b"])
    assert said(native(SEVERAL), ImageStep(JOB_ID, 1, 4))["images"] is None
    last = said(native(SEVERAL), images(b"a", b"b"))
    assert (last["seed"], last["seeds"]) == (7, [7, 8])
    assert [b64decode(each) for each in last["images"]] == [b"a", b"b"]


def test_binary_objects_tell_what_follows() -> None:
    one, several = (BinaryImageDialect("st_1", "sd", work) for work in (WORK, SEVERAL))
    step = said(one, ImageStep(JOB_ID, 2, 4, [PNG]))
    assert (step["image"], step["image_bytes"]) == (None, len(PNG))
    assert "images_bytes" not in step
    assert "image_bytes" not in said(one, ImageStep(JOB_ID, 1, 4))
    last = said(several, images(b"a", b"bc"))
    assert (last["image"], last["image_bytes"], last["images_bytes"]) == (None, 1, [1, 2])
    assert last["status"] == "complete"


@pytest.mark.parametrize("reason", REASONS)
def test_endings_say_how_far_it_came(reason: str) -> None:
    assert said(native(), finished(reason)) == {
        "step": 2,
        "total_steps": 4,
        "status": reason,
        "image": None,
        "progress": 0.5,
        "finish_reason": reason,
        "usage": USAGE,
    }


def test_a_whole_run_has_one_terminal_object() -> None:
    assert native().render(finished("completed")) == []
    assert native().render(Started(JOB_ID)) == []


@pytest.mark.parametrize("code", KINDS)
def test_every_failure_is_an_error_with_usage(code: str) -> None:
    failure = Failed(JOB_ID, code, "it broke", None, USED)
    (out,) = native().render(failure)
    body = json.loads(out.body)
    assert (out.event, body["status"], body["error"]["code"], body["usage"]) == (
        "error",
        "error",
        code,
        USAGE,
    )
    error, done = ImageGenerationsDialect(WORK, "medium").render(failure)
    assert (json.loads(error.body)["error"]["message"], done.body) == ("it broke", b"[DONE]")
    assert error.event is None


def test_as_plain_text_a_line_for_each_step() -> None:
    events = [accepted(), ImageStep(JOB_ID, 1, 4), images(PNG), finished("cancelled")]
    texts = [out.text for event in events for out in native().render(event)]
    assert [text.count("\n") for text in texts] == [1] * 4
    assert texts[1] == "Step 1 of 4\n"


def test_openai_events_as_its_own_client_types_them() -> None:
    dialect = ImageGenerationsDialect(WORK, "high")
    assert dialect.render(accepted()) == dialect.render(ImageStep(JOB_ID, 1, 4)) == []
    (out,) = dialect.render(ImageStep(JOB_ID, 2, 4, [PNG]))
    partial = ImageGenPartialImageEvent.model_validate_json(out.body, strict=True)
    assert (out.event, partial.type) == (partial.type, "image_generation.partial_image")
    assert (partial.partial_image_index, b64decode(partial.b64_json)) == (0, PNG)
    (out,) = dialect.render(images(PNG))
    completed = ImageGenCompletedEvent.model_validate_json(out.body, strict=True)
    assert (out.event, completed.type) == (completed.type, "image_generation.completed")
    assert (completed.size, completed.quality, completed.output_format) == ("64x32", "high", "png")
    assert (completed.background, completed.created_at) == ("opaque", partial.created_at)
    assert completed.usage.input_tokens_details.text_tokens == completed.usage.total_tokens == 3
    (out,) = dialect.render(finished("completed"))
    assert out.body == b"[DONE]"


def test_openai_counts_previews_and_tells_pictures_apart() -> None:
    dialect = ImageGenerationsDialect(structs.replace(SEVERAL, preview_steps=[1, 3]), "low")
    told = [json.loads(out.body) for out in dialect.render(ImageStep(JOB_ID, 3, 4, [b"a", b"b"]))]
    assert [(each["partial_image_index"], each["index"]) for each in told] == [(1, 0), (1, 1)]
    told = [json.loads(out.body) for out in dialect.render(images(b"a", b"b"))]
    assert [(each["type"], each["index"]) for each in told] == [
        ("image_generation.completed", 0),
        ("image_generation.completed", 1),
    ]


def test_an_openai_answer_in_one_object() -> None:
    answer = ImagesResponse.model_validate_json(
        ImageGenerationsDialect(SEVERAL, "medium").whole(images(b"a", b"b")), strict=True
    )
    assert answer.data and answer.usage
    assert [b64decode(image.b64_json or "") for image in answer.data] == [b"a", b"b"]
    assert (answer.size, answer.quality, answer.background) == ("64x32", "medium", "opaque")


@pytest.mark.parametrize("reason", REASONS)
def test_openai_has_no_words_for_what_was_cut_but_an_error(reason: str) -> None:
    error, done = ImageGenerationsDialect(WORK, "medium").render(finished(reason))
    body = json.loads(error.body)
    assert (body["error"]["code"], body["usage"]["steps"]) == (reason, 2)
    assert reason in body["error"]["message"]
    assert done.body == b"[DONE]"


@pytest.mark.parametrize(
    ("count", "steps", "places"),
    [
        (0, 20, []),
        (1, 20, [10]),
        (2, 20, [6, 13]),
        (3, 20, [5, 10, 15]),
        (3, 4, [1, 2, 3]),
        (3, 2, [1]),
        (3, 1, []),
    ],
)
def test_previews_are_spread_evenly(count: int, steps: int, places: list[int]) -> None:
    assert spread(count, steps) == places


def image_stream() -> Stream:
    job = Job(id=JOB_ID, key="anyone", route="/r", model="sd", work=WORK, request_id="req")
    stream = Stream(
        job, native(), FakeControls(), stream_settings(join_unread_bytes=2_000, low_unread_bytes=4_000)
    )
    stream.push(accepted())
    return stream


def feed(stream: Stream) -> None:
    for step in range(1, 9):
        previews = [bytes([step]) * 1_000] if step % 2 else []
        stream.push(ImageStep(JOB_ID, step, 9, previews))
        stream.wake()
    stream.push(images(PNG))
    stream.push(Finished(JOB_ID, "completed", Usage(3, 0, 8), []))
    stream.wake()


async def test_who_is_behind_loses_all_previews_but_the_newest() -> None:
    """Steps and pictures he gets all."""
    stream = image_stream()
    reader = stream.attach(0)
    feed(stream)
    events = reader.take()
    assert [seq for seq, _ in events] == list(range(1, stream.log.seq + 1))
    previews = {event.step: event.previews for _, event in events if isinstance(event, ImageStep)}
    assert list(previews) == list(range(1, 9))
    assert [step for step, pictures in previews.items() if pictures] == [7]
    assert [event.images for _, event in events if isinstance(event, Images)] == [[PNG]]
    stream.detach(reader)


async def test_a_few_previews_are_no_backlog() -> None:
    stream = image_stream()
    reader = stream.attach(0)
    for step in (1, 2):
        stream.push(ImageStep(JOB_ID, step, 9, [b"x" * 1_000]))
        stream.wake()
    assert stream.settings.join_unread_bytes < reader.unread_bytes < stream.settings.low_unread_bytes
    assert all(event.previews for _, event in reader.take() if isinstance(event, ImageStep))
    stream.detach(reader)


async def test_who_keeps_up_and_who_comes_back_get_all_previews() -> None:
    stream, taken = image_stream(), []
    reader = stream.attach(0)
    reader.on_wake = lambda: taken.extend(reader.take())
    feed(stream)
    assert sum(bool(event.previews) for _, event in taken if isinstance(event, ImageStep)) == 4
    assert stream.usage() == Usage(3, 0, 8)
    assert stream.summary()["steps"] == 8
    assert stream.log.num_bytes > 4_000
    again = stream.attach(1)
    assert again.take() == taken[1:]
    for each in (reader, again):
        stream.detach(each)
