"""The official `openai` client, unmodified, against the real service."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess

TEXT = "One two  three.\nFöur 🦊"
WORDS = ["One", " two", "  three.", "\nFöur", " 🦊"]
MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
LONG: Any = [{"role": "user", "content": "tick " * 90}]


def client_of(service: ServiceProcess, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0, timeout=REQUEST_TIMEOUT_S)


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[openai.OpenAI]:
    with client_of(service) as client:
        yield client


@pytest.fixture
async def async_client(service: ServiceProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def alice(strict_service: ServiceProcess) -> Iterator[openai.OpenAI]:
    with client_of(strict_service, "sk-alice") as client:
        yield client


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=MESSAGES, n=2)
    assert [choice.message.content for choice in answer.choices] == [TEXT] * 2
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert answer.usage and answer.usage.total_tokens == 15


def test_chat_streamed(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(
        model="echo",
        messages=MESSAGES,
        stream=True,
        stream_options=options,
        seed=5,
        stop=["x"],
        temperature=0,
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert deltas == ["", *WORDS, None]
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices].count("assistant") == 1
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 5


def test_the_clients_own_accumulator(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="echo", messages=MESSAGES, n=2) as stream:
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == [TEXT] * 2
    assert [choice.message.role for choice in final.choices] == ["assistant"] * 2


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt=["a b", "c"], n=2, max_tokens=1)
    assert [choice.text for choice in answer.choices] == ["a", "a", "c", "c"]
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length", "stop", "stop"]


def test_completions_streamed(client: openai.OpenAI) -> None:
    texts = ["", ""]
    for chunk in client.completions.create(model="echo", prompt=TEXT, n=2, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == [TEXT, TEXT]


def test_logprobs(client: openai.OpenAI) -> None:
    """Streamed, the client's own accumulator joins them to what the whole answer has."""
    wishes: Any = {"model": "echo", "messages": MESSAGES, "logprobs": True, "top_logprobs": 1}
    whole = client.chat.completions.create(**wishes).choices[0].logprobs
    assert whole and whole.content
    assert [token.token for token in whole.content] == WORDS
    assert bytes(byte for token in whole.content for byte in token.bytes or []).decode() == TEXT
    with client.chat.completions.stream(**wishes) as stream:
        final = stream.get_final_completion().choices[0].logprobs
    assert final and final.model_dump() == whole.model_dump()
    columns = client.completions.create(model="echo", prompt=TEXT, logprobs=1).choices[0].logprobs
    assert columns and columns.tokens == WORDS
    assert columns.text_offset == [TEXT.index(word) for word in WORDS]


async def test_async(async_client: openai.AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model="echo", messages=MESSAGES)
    assert answer.choices[0].message.content == TEXT
    stream = await async_client.chat.completions.create(model="echo", messages=MESSAGES, stream=True, n=2)
    texts = ["", ""]
    async for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == [TEXT, TEXT]
    whole = await async_client.completions.create(model="echo", prompt="a b")
    assert whole.choices[0].text == "a b"
    streamed = await async_client.completions.create(model="echo", prompt="a b", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in streamed]) == "a b"


async def test_leaving_a_stream_cancels_it(async_client: openai.AsyncOpenAI, service: ServiceProcess) -> None:
    extra = {"ignore_eos": True}
    stream = await async_client.chat.completions.create(
        model="steady", messages=LONG, stream=True, max_tokens=100_000, extra_body=extra
    )
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()
    service.wait_idle()


def test_raw_response(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="echo", messages=MESSAGES, extra_headers={"X-Request-Id": "mine-1"}
    )
    assert raw.headers["X-Request-Id"] == raw.request_id == "mine-1"
    assert raw.headers["X-Stream-Id"].startswith("st_")
    assert raw.parse().choices[0].message.content == TEXT


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["echo", "steady"]
    assert client.models.retrieve("echo").owned_by == "sluice"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")


def test_resumable_streams_do_not_confuse_its_decoder(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="echo", messages=MESSAGES, stream=True, extra_headers={"X-Stream-Resumable": "1"}
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT


@pytest.mark.parametrize("resumable", ["0", "1"])
def test_keepalives_do_not_confuse_its_decoder(alice: openai.OpenAI, resumable: str) -> None:
    """The service says that it lives every 50 ms, between tokens that come every 50 ms."""
    stream = alice.chat.completions.create(
        model="steady",
        messages=LONG,
        stream=True,
        max_tokens=20,
        stream_options={"include_usage": True},
        extra_headers={"X-Stream-Resumable": resumable},
    )
    chunks = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == ("tick " * 20)[:-1]
    )
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 20


@pytest.mark.parametrize(
    ("wishes", "kind", "param"),
    [
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": MESSAGES, "n": 0}, openai.BadRequestError, "n"),
        ({"messages": MESSAGES, "temperature": 3}, openai.BadRequestError, "temperature"),
        ({"messages": MESSAGES, "max_tokens": 1.5}, openai.BadRequestError, "max_tokens"),
        ({"messages": MESSAGES, "model": "nope"}, openai.NotFoundError, "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_its_own_classes(
    client: openai.OpenAI, wishes: dict[str, Any], kind: type[openai.APIStatusError], param: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**({"model": "echo", "stream": stream} | wishes))
    assert caught.value.param == param
    assert param in caught.value.message
    assert caught.value.request_id


def test_unprocessable_on_native_routes(client: openai.OpenAI, service: ServiceProcess) -> None:
    with pytest.raises(openai.UnprocessableEntityError):
        client.post(f"{service.url}/generate_stream", body={"prompt": 3}, cast_to=object)


def test_wrong_key(strict_service: ServiceProcess) -> None:
    with client_of(strict_service, "sk-wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_too_many_and_too_full(alice: openai.OpenAI, strict_service: ServiceProcess) -> None:
    wishes: Any = {"model": "steady", "messages": LONG, "stream": True, "max_tokens": 2_000}
    wishes["extra_body"] = {"ignore_eos": True}
    strict_service.wait_idle("sk-alice")
    with alice.chat.completions.create(**wishes) as first, alice.chat.completions.create(**wishes) as second:
        with pytest.raises(openai.RateLimitError) as caught:
            alice.chat.completions.create(**wishes)
        assert caught.value.response.headers["Retry-After"] == "1"
        with client_of(strict_service, "sk-bob") as bob, pytest.raises(openai.InternalServerError) as full:
            bob.chat.completions.create(**wishes)
        assert (full.value.status_code, full.value.code) == (503, "queue_full")
        next(first)
        next(second)
    strict_service.wait_idle("sk-alice")


def test_an_error_after_the_start(alice: openai.OpenAI, strict_service: ServiceProcess) -> None:
    wishes: Any = {"model": "steady", "messages": LONG, "max_tokens": 2_000}
    wishes["extra_body"] = {"ignore_eos": True}
    stream = alice.chat.completions.create(**wishes, stream=True)
    with pytest.raises(openai.APIError, match="the worker was lost") as caught:
        for num, _ in enumerate(stream):
            if num == 3:
                os.kill(strict_service.worker_pids("sk-alice")[1], signal.SIGKILL)
    assert caught.value.code == "worker_lost"
    strict_service.wait_ready()
    answer = alice.chat.completions.create(model="steady", messages=MESSAGES, max_tokens=5)
    assert answer.choices[0].message.content == TEXT


def test_its_retries_outlast_a_full_queue(strict_service: ServiceProcess) -> None:
    """Retry-After is for machines: the client waits as it is told, and is served."""
    strict_service.wait_idle("sk-alice")
    with client_of(strict_service, "sk-alice") as alice, client_of(strict_service, "sk-bob") as bob:
        wishes: Any = {"model": "steady", "messages": LONG, "max_tokens": 5}
        first = alice.chat.completions.create(**wishes, stream=True)
        second = alice.chat.completions.create(**wishes, stream=True)
        with first, second:
            patient = bob.with_options(max_retries=5)
            assert patient.chat.completions.create(**wishes).choices[0].finish_reason == "length"
            for stream in (first, second):
                assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length"
