"""`/v1/chat/completions` as a websocket: the same chunks as SSE's, several answers at once."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse

from tests import sse
from tests.contract.conftest import ALICE
from tests.service_process import ServiceProcess, bearer
from tests.websocket import error_of, receive

PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "one two three"}]
BODY: dict[str, Any] = {"model": "echo", "messages": MESSAGES}
LONG: dict[str, Any] = {"model": "steady", "messages": MESSAGES, "max_tokens": 1_000, "ignore_eos": True}
USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture
async def ws(service: ServiceProcess) -> AsyncIterator[ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}{PATH}") as opened:
        yield opened


def is_end(chunk: dict[str, Any]) -> bool:
    """Of an answer with one choice and no usage chunk."""
    return "error" in chunk or bool(chunk["choices"] and chunk["choices"][0]["finish_reason"])


def is_usage(chunk: dict[str, Any]) -> bool:
    return "error" in chunk or not chunk["choices"]


async def chunks_of(
    ws: ClientWebSocketResponse, is_last: Callable[[dict[str, Any]], bool] = is_end
) -> list[dict[str, Any]]:
    chunks = [await receive(ws)]
    while not is_last(chunks[-1]):
        chunks.append(await receive(ws))
    return chunks


async def refused(ws: ClientWebSocketResponse, message: str | bytes) -> dict[str, Any]:
    await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_str(message))
    return error_of(await receive(ws))


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])


def reason_of(chunks: list[dict[str, Any]]) -> str:
    reason: str = chunks[-1]["choices"][0]["finish_reason"]
    return reason


def anonymous(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what no two answers share; it is the same in all chunks of one."""
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    return [{**chunk, "id": "", "created": 0} for chunk in chunks]


@pytest.mark.parametrize(
    "more",
    [{}, {"stream": True}, USAGE, {"n": 2, **USAGE}, {"max_tokens": 1, **USAGE}, {"stop": "two", **USAGE}],
)
async def test_the_same_chunks_as_sse(
    service: ServiceProcess, ws: ClientWebSocketResponse, more: dict[str, Any]
) -> None:
    expected = sse.objects(service.http.post(PATH, json=BODY | more | {"stream": True}).content)
    for _ in range(2):
        await ws.send_json(BODY | more)
        chunks = await chunks_of(ws, is_usage if USAGE.items() <= more.items() else is_end)
        assert anonymous(chunks) == anonymous(expected)
    await ws.send_str("no words between answers: `[DONE]` is none of this socket's")
    assert error_of(await receive(ws))["code"] == "bad_json"


async def test_several_at_once(ws: ClientWebSocketResponse) -> None:
    for label in ("a", "b", "c", ""):
        await ws.send_json(BODY | {"stream_id": label, "model": "steady", "stop": [label or "nope"]})
    chunks: dict[str, list[dict[str, Any]]] = {}
    while not (len(chunks) == 4 and all(is_end(each[-1]) for each in chunks.values())):
        chunk = await receive(ws)
        chunks.setdefault(chunk["stream_id"], []).append(chunk)
    assert len({each[0]["id"] for each in chunks.values()}) == 4
    for label in ("b", ""):
        assert text_of(chunks[label]) == "one two three"
    assert chunks["a"][0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


async def test_several_without_labels(ws: ClientWebSocketResponse) -> None:
    """Told apart by the id that each chunk of an answer carries."""
    for _ in range(3):
        await ws.send_json(BODY | {"model": "steady"})
    texts: dict[str, str] = {}
    num_ended = 0
    while num_ended < 3:
        chunk = await receive(ws)
        assert "stream_id" not in chunk
        texts[chunk["id"]] = texts.get(chunk["id"], "") + text_of([chunk])
        num_ended += is_end(chunk)
    assert list(texts.values()) == ["one two three"] * 3


async def test_cancel_one_of_several(service: ServiceProcess, ws: ClientWebSocketResponse) -> None:
    for label in ("stays", "goes"):
        await ws.send_json(LONG | {"stream_id": label})
    await ws.send_json({"type": "cancel", "stream_id": "goes"})
    chunk = await receive(ws)
    while not is_end(chunk):
        chunk = await receive(ws)
    assert (chunk["stream_id"], reason_of([chunk])) == ("goes", "cancelled")
    service.wait_for_metrics(lambda m: m["active_streams"] == 1)
    await ws.send_json({"type": "cancel", "stream_id": "goes"})
    while "error" not in chunk:
        chunk = await receive(ws)
    assert (chunk["stream_id"], chunk["error"]["code"]) == ("goes", "not_running")
    await ws.send_json(BODY | {"stream_id": "goes"})
    chunk = await receive(ws)
    while not (is_end(chunk) and reason_of([chunk]) == "stop"):
        chunk = await receive(ws)
    await ws.send_json({"type": "cancel"})
    while not (is_end(chunk) and chunk["stream_id"] == "stays"):
        chunk = await receive(ws)
    assert reason_of([chunk]) == "cancelled"


async def test_cancel_all_at_once(service: ServiceProcess, ws: ClientWebSocketResponse) -> None:
    for label in ("a", "b"):
        await ws.send_json(LONG | {"stream_id": label})
    await ws.send_json(LONG)
    service.wait_for_metrics(lambda m: m["active_streams"] == 3)
    await ws.send_json({"type": "cancel"})
    ended = set()
    while len(ended) < 3:
        chunk = await receive(ws)
        if is_end(chunk):
            assert reason_of([chunk]) == "cancelled"
            ended.add(chunk.get("stream_id"))
    assert ended == {"a", "b", None}
    service.wait_idle()
    assert (await refused(ws, '{"type": "cancel"}'))["code"] == "not_running"


async def test_a_label_that_is_taken(ws: ClientWebSocketResponse) -> None:
    await ws.send_json(LONG | {"stream_id": "x"})
    await ws.send_json(BODY | {"stream_id": "x"})
    told = await receive(ws)
    while "error" not in told:
        told = await receive(ws)
    error = error_of(told)
    assert (error["code"], error["type"], told["stream_id"]) == ("busy", "conflict_error", "x")
    assert "'x'" in error["message"]
    await ws.send_json({"type": "cancel", "stream_id": "x"})
    assert reason_of(await chunks_of(ws)) == "cancelled"
    await ws.send_json(BODY | {"stream_id": "x"})
    assert reason_of(await chunks_of(ws)) == "stop"


@pytest.mark.parametrize(
    ("message", "param", "words"),
    [
        ("", None, "not valid JSON"),
        ("[]", None, "array"),
        ("{}", "messages", "required"),
        ('{"messages": []}', "messages", ">= 1"),
        ('{"messages": [{"role": "king", "content": "x"}]}', "messages[0].role", "king"),
        ('{"messages": [{"role": "user", "content": "x"}], "n": 0}', "n", ">= 1"),
        ('{"messages": [{"role": "user", "content": "x"}], "model": "nope"}', "model", "there is: echo"),
        ('{"messages": [{"role": "user", "content": "x"}], "max_tokens": true}', "max_tokens", "true"),
        ('{"messages": [{"role": "user", "content": "x"}], "stream_id": 3}', "stream_id", "3"),
        (
            '{"messages": [{"role": "user", "content": "x"}], "stream_id": "%s"}' % ("x" * 129),
            "stream_id",
            "128",
        ),
        ('{"type": "nope"}', "type", "nope"),
        ('{"type": 3}', "type", "3"),
        ('{"type": "cancel", "stream_id": 3}', "stream_id", "3"),
        (b"{}", None, "text frame"),
    ],
)
async def test_a_bad_message(
    ws: ClientWebSocketResponse, message: str | bytes, param: str | None, words: str
) -> None:
    error = await refused(ws, message)
    assert error["param"] == param, error
    assert words in error["message"]
    await ws.send_json(BODY)
    assert reason_of(await chunks_of(ws)) == "stop"


async def test_an_error_carries_its_requests_label(ws: ClientWebSocketResponse) -> None:
    await ws.send_json(BODY | {"stream_id": "x", "model": "nope"})
    told = await receive(ws)
    assert told["stream_id"] == "x"
    error = error_of(told)
    assert (error["code"], error["type"]) == ("model_not_found", "not_found_error")


async def test_what_fails_in_the_worker_is_a_message(strict_service: ServiceProcess) -> None:
    async with (
        aiohttp.ClientSession(headers=bearer(ALICE)) as session,
        session.ws_connect(f"{strict_service.url}{PATH}") as ws,
    ):
        too_long = [{"role": "user", "content": "a " * 120}]
        await ws.send_json({"model": "echo", "messages": too_long, "stream_id": "x"})
        told = await receive(ws)
        assert told["stream_id"] == "x"
        assert error_of(told)["code"] == "context_length_exceeded"
        assert "usage" in told
        for label in ("a", "b", "c"):
            await ws.send_json({"model": "echo", "messages": MESSAGES * 5, "stream_id": label})
            assert "5 > 4 (limits.max_messages)" in error_of(await receive(ws))["message"]
        for label in ("a", "b", "c"):
            await ws.send_json(LONG | {"stream_id": label, "max_tokens": 60})
        told = await receive(ws)
        while "error" not in told:
            told = await receive(ws)
        assert (told["stream_id"], error_of(told)["type"]) == ("c", "rate_limit_error")
        await ws.send_json({"type": "cancel"})
        ended: set[str] = set()
        while len(ended) < 2:
            told = await receive(ws)
            ended |= {told["stream_id"]} if is_end(told) else set()


async def test_who_leaves_stops_all_of_his_answers(
    service: ServiceProcess, ws: ClientWebSocketResponse
) -> None:
    for label in ("a", "b", "c"):
        await ws.send_json(LONG | {"stream_id": label})
    service.wait_for_metrics(lambda m: m["active_streams"] == 3)
    await ws.close()
    service.wait_idle()
