"""`/ws/{client_id}`: a chat with a client who is known by his id."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse

from tests import sse
from tests.contract.conftest import ALICE, BOB
from tests.contract.test_sockets import refusal
from tests.service_process import ServiceProcess, bearer
from tests.websocket import bare, closed_with, error_of, receive, receive_until

CHAT = {"type": "chat", "message": "one two three"}
LONG = {"type": "chat", "message": "tick " * 400, "model": "steady", "max_tokens": 400}
ENDINGS = ("done", "cancelled", "error")


@asynccontextmanager
async def connected(
    service: ServiceProcess, client_id: str = "me", key: str | None = None, query: str = ""
) -> AsyncIterator[ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession(headers=bearer(key)) as session,
        session.ws_connect(f"{service.url}/ws/{client_id}{query}") as ws,
    ):
        yield ws


async def answer(ws: ClientWebSocketResponse, **message: Any) -> list[dict[str, Any]]:
    await ws.send_json(CHAT | message)
    return await receive_until(ws, *ENDINGS)


def text_of(told: list[dict[str, Any]]) -> str:
    return "".join(each["content"] for each in told if each["type"] == "text")


async def test_chat(service: ServiceProcess) -> None:
    async with connected(service) as ws:
        for text in ("one two three", "a", "ünï 🦊"):
            told = await answer(ws, message=text)
            assert [each["type"] for each in told[:-1]] == ["text"] * len(text.split())
            assert text_of(told) == text
            num_tokens = len(text.split())
            usage = {
                "prompt_tokens": num_tokens,
                "completion_tokens": num_tokens,
                "total_tokens": 2 * num_tokens,
            }
            assert told[-1] == {
                "type": "done",
                "stream_id": told[0]["stream_id"],
                "finish_reason": "stop",
                "usage": usage,
            }
        told = await answer(ws, max_tokens=2)
        assert (text_of(told), told[-1]["finish_reason"]) == ("one two", "length")


async def test_compressed_where_both_sides_want_it(choosy_service: ServiceProcess) -> None:
    url = f"{choosy_service.url}/ws/me"
    async with (
        aiohttp.ClientSession(headers=bearer(ALICE)) as session,
        session.ws_connect(url, compress=15) as ws,
    ):
        assert ws.compress
        for number in range(3):
            text = f"{number} " * 200
            told = await answer(ws, message=text)
            assert (text_of(told), told[-1]["type"]) == (text, "done")
        await ws.send_json(CHAT | {"message": "x" * 1_500})
        await ws.ping()
        assert text_of(await receive_until(ws, *ENDINGS)) == "x" * 1_500


async def test_cancel_in_the_middle(service: ServiceProcess) -> None:
    async with connected(service) as ws:
        for _ in range(2):
            await ws.send_json(LONG)
            assert (await receive(ws))["type"] == "text"
            await ws.send_json({"type": "cancel"})
            told = await receive_until(ws, *ENDINGS)
            assert told[-1]["type"] == "cancelled"
            assert 0 < told[-1]["usage"]["completion_tokens"] < 400
            service.wait_idle()
        await ws.send_json({"type": "cancel"})
        assert error_of(await receive(ws))["code"] == "not_running"
        assert (await answer(ws))[-1]["type"] == "done"


async def test_one_answer_at_a_time(service: ServiceProcess) -> None:
    async with connected(service) as ws:
        await ws.send_json(LONG)
        await receive(ws)
        await ws.send_json(CHAT)
        error = error_of((await receive_until(ws, "error"))[-1])
        assert (error["code"], error["type"]) == ("busy", "conflict_error")
        assert (await receive(ws))["type"] == "text"
        await ws.send_json({"type": "cancel"})
        assert (await receive_until(ws, *ENDINGS))[-1]["type"] == "cancelled"


@pytest.mark.parametrize(
    ("message", "param", "words"),
    [
        ("", None, "not valid JSON"),
        ("{", None, "not valid JSON"),
        ('{"type": "chat", "message": "x", "temperature": NaN}', "temperature", "finite"),
        ("[" * 50_000 + "]" * 50_000, None, "array"),
        ('{"type": "chat", "message": "x", "extra": ' + "[" * 50_000, None, "nested too deeply"),
        ("[]", None, "array"),
        ("3", None, "int"),
        ("null", None, "null"),
        ("{}", "type", "type"),
        ('{"type": 3}', "type", "type"),
        ('{"type": null}', "type", "type"),
        ('{"type": "nope"}', "type", "nope"),
        ('{"type": "chat"}', "message", "required"),
        ('{"type": "chat", "message": ""}', "message", ">= 1"),
        ('{"type": "chat", "message": 3}', "message", "3"),
        ('{"type": "chat", "message": "\\ud800x"}', None, "not valid JSON"),
        ('{"type": "chat", "message": "x", "max_tokens": 0}', "max_tokens", ">= 1"),
        ('{"type": "chat", "message": "x", "max_tokens": 1.5}', "max_tokens", "1.5"),
        ('{"type": "chat", "message": "x", "model": "nope"}', "model", "there is: echo, steady"),
        ('{"type": "chat", "message": "x", "provider": "nope"}', "provider", "there is: local"),
        ('{"type": "chat", "message": "x", "session_id": ""}', "session_id", ">= 1"),
        (b"\x00", None, "text frame"),
    ],
)
async def test_a_bad_message(
    service: ServiceProcess, message: str | bytes, param: str | None, words: str
) -> None:
    async with connected(service) as ws:
        await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_str(message))
        error = error_of(await receive(ws))
        assert error["param"] == param, error
        assert words in error["message"]
        assert (await answer(ws))[-1]["type"] == "done"


async def test_limits_are_those_of_requests(strict_service: ServiceProcess) -> None:
    async with connected(strict_service, key=ALICE) as ws:
        assert "1001 characters > 1000" in error_of((await answer(ws, message="x" * 1_001))[-1])["message"]
        told = await answer(ws, message="a " * 120)
        error = error_of(told[-1])
        assert error["code"] == "context_length_exceeded"
        assert "> 100 (limit of model" in error["message"]
        assert (await answer(ws))[-1]["type"] == "done"
    async with connected(strict_service, "one", ALICE) as one, connected(strict_service, "two", ALICE) as two:
        for ws in (one, two):
            await ws.send_json(LONG | {"message": "tick " * 190, "max_tokens": 190})
        told = [await receive(one)]
        with strict_service.http.stream(
            "POST", "/stream_text", json={"prompt": "x"}, headers=bearer(ALICE)
        ) as third:
            assert third.status_code == 429
        await two.send_json({"type": "cancel"})
        await receive_until(two, *ENDINGS)
        await one.send_json({"type": "cancel"})
        told += await receive_until(one, *ENDINGS)
        assert told[-1]["type"] == "cancelled"


async def test_a_session_is_remembered_over_sockets_and_routes(service: ServiceProcess) -> None:
    session = {"session_id": "socket-memory"}
    async with connected(service) as ws:
        first = await answer(ws, **session)
        assert first[-1]["usage"]["prompt_tokens"] == 3
        assert (await answer(ws, **session))[-1]["usage"]["prompt_tokens"] == 9
    async with connected(service, "other") as ws:
        assert (await answer(ws, **session))[-1]["usage"]["prompt_tokens"] == 15
        assert (await answer(ws))[-1]["usage"]["prompt_tokens"] == 3
    body = {"message": "one two three", **session}
    usage = sse.objects(service.http.post("/chat/stream", json=body).content)[-1]["usage"]
    assert usage["prompt_tokens"] == 21


async def test_an_answer_in_the_making_may_be_read_and_cancelled_elsewhere(service: ServiceProcess) -> None:
    async with connected(service, query="?resumable=1") as ws:
        await ws.send_json(LONG)
        stream_id = (await receive(ws))["stream_id"]
    path = f"/streams/{stream_id}"
    with service.http.stream("GET", path) as again:
        assert again.status_code == 200
        events = sse.events(again)
        next(events)
        assert service.http.post(f"{path}/cancel").json() == {"status": "cancelled"}
        assert [event.event for event in events][-1] == "cancelled"


async def test_who_leaves_stops_his_answer(service: ServiceProcess) -> None:
    before = service.metrics()["ended"].get("client_gone", 0)
    async with connected(service) as ws:
        await ws.send_json(LONG)
        await receive(ws)
    service.wait_for_metrics(lambda m: m["ended"].get("client_gone", 0) == before + 1)
    with bare(service.url, "/ws/me") as gone:
        gone.send_json(**LONG)
        gone.read()
    service.wait_for_metrics(lambda m: m["ended"].get("client_gone", 0) == before + 2)
    service.wait_idle()


async def test_a_newer_connection_takes_over(service: ServiceProcess) -> None:
    async with connected(service) as older:
        await older.send_json(LONG)
        await receive(older)
        async with connected(service) as newer:
            assert await closed_with(older) == 1008
            service.wait_idle()
            assert (await answer(newer))[-1]["type"] == "done"
            async with connected(service, "someone-else") as other:
                assert (await answer(other))[-1]["type"] == "done"
            assert (await answer(newer))[-1]["type"] == "done"


async def test_ids_belong_to_keys(strict_service: ServiceProcess) -> None:
    async with connected(strict_service, key=ALICE) as alice, connected(strict_service, key=BOB) as bob:
        for ws in (alice, bob):
            assert (await answer(ws))[-1]["type"] == "done"


async def test_refused_where_the_setting_says_so(choosy_service: ServiceProcess) -> None:
    async with connected(choosy_service, key=ALICE) as older:
        async with aiohttp.ClientSession() as session:
            status, error = await refusal(session, f"{choosy_service.url}/ws/me", **bearer(ALICE))
        assert (status, error["code"], error["param"]) == (409, "client_connected", "client_id")
        async with connected(choosy_service, key=BOB) as bob:
            assert (await answer(bob))[-1]["type"] == "done"
        assert (await answer(older))[-1]["type"] == "done"
    choosy_service.wait_for_metrics(lambda m: m["open_sockets"] == 0, ALICE)
    async with connected(choosy_service, key=ALICE) as again:
        assert (await answer(again))[-1]["type"] == "done"


@pytest.mark.parametrize("make", [lambda: "c" * 128, lambda: "%F0%9F%A6%8A" * 128, lambda: "a%20b%0A"])
async def test_ids_up_to_128_characters(service: ServiceProcess, make: Callable[[], str]) -> None:
    async with connected(service, make()) as ws:
        assert (await answer(ws))[-1]["type"] == "done"


def test_longer_ids_are_refused(service: ServiceProcess) -> None:
    answered = service.http.get(f"/ws/{'c' * 129}", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    error = answered.json()["error"]
    assert (answered.status_code, error["param"]) == (422, "client_id")
    assert "129 characters > 128" in error["message"]
