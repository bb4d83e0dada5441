"""The official `openai` client, unmodified, asks a real service for images."""

import io
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent
from PIL import Image

from tests.e2e.test_openai_client import client_of
from tests.service_process import ServiceProcess


@pytest.fixture(scope="module")
def service(image_service: ServiceProcess) -> Iterator[ServiceProcess]:
    yield image_service
    image_service.wait_ready()
    image_service.check_serves()


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[openai.OpenAI]:
    with client_of(service) as client:
        yield client


@pytest.fixture
async def async_client(service: ServiceProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def kind_of(encoded: str | None) -> tuple[str | None, tuple[int, int]]:
    image = Image.open(io.BytesIO(b64decode(encoded or "")))
    return image.format, image.size


def test_whole(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="sd", prompt="a fox", n=2, size="64x64", quality="low")
    assert answer.data and answer.usage
    assert [kind_of(image.b64_json) for image in answer.data] == [("PNG", (64, 64))] * 2
    assert (answer.size, answer.quality, answer.output_format) == ("64x64", "low", "png")
    assert answer.usage.total_tokens == answer.usage.input_tokens > 0


def test_streamed(client: openai.OpenAI) -> None:
    stream = client.images.generate(
        model="sd", prompt="a fox", stream=True, partial_images=2, output_format="jpeg", size="auto"
    )
    *partial, completed = list(stream)
    assert [type(event) for event in partial] == [ImageGenPartialImageEvent] * 2
    assert [event.partial_image_index for event in partial] == [0, 1]
    assert isinstance(completed, ImageGenCompletedEvent)
    assert {kind_of(event.b64_json)[0] for event in [*partial, completed]} == {"JPEG"}
    assert (completed.size, completed.background) == ("64x64", "opaque")
    assert completed.usage.input_tokens_details.image_tokens == 0


async def test_async(async_client: openai.AsyncOpenAI) -> None:
    extra: Any = {"steps": 3, "seed": 5, "guidance_scale": 2.0}
    stream = await async_client.images.generate(
        model="sd", prompt="a fox", stream=True, partial_images=3, n=2, extra_body=extra
    )
    types = [event.type async for event in stream]
    assert types == ["image_generation.partial_image"] * 4 + ["image_generation.completed"] * 2
    whole = await async_client.images.generate(model="sd", prompt="a fox", extra_body=extra)
    again = await async_client.images.generate(model="sd", prompt="a fox", extra_body=extra)
    assert whole.data == again.data


async def test_leaving_a_stream_cancels_it(async_client: openai.AsyncOpenAI, service: ServiceProcess) -> None:
    stream = await async_client.images.generate(
        model="sd", prompt="a fox", stream=True, partial_images=3, extra_body={"steps": 150}
    )
    async for event in stream:
        assert event.type == "image_generation.partial_image"
        break
    await stream.close()
    service.wait_idle()


def test_refusals(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="not what this model makes"):
        client.images.generate(model="sd", prompt="a fox", size="63x64")
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="gpt-image-2", prompt="a fox")
    assert caught.value.code == "model_not_found"


def test_what_is_cut_short_raises(client: openai.OpenAI) -> None:
    soon = {"X-Request-Timeout": "0.2"}
    stream = client.images.generate(
        model="sd", prompt="a fox", stream=True, extra_headers=soon, extra_body={"steps": 150}
    )
    with pytest.raises(openai.APIError, match="deadline"):
        list(stream)


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["echo", "sd"]
    assert client.models.retrieve("sd").id == "sd"
