"""`/chat`: several people in one session, the model's one answer, a history that outlives the sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse

from tests.contract.conftest import ALICE, BOB
from tests.service_process import ServiceProcess, bearer
from tests.websocket import TIMEOUT_S

LONG = {"type": "user_message", "message": "x " * 400, "model": "steady", "max_tokens": 400}


@asynccontextmanager
async def member(
    service: ServiceProcess, session_id: str, key: str | None = None, **query: str
) -> AsyncIterator[ClientWebSocketResponse]:
    """One who has been welcomed."""
    url = f"{service.url}/chat"
    async with (
        aiohttp.ClientSession(headers=bearer(key)) as session,
        session.ws_connect(url, params={"session_id": session_id, **query}) as ws,
    ):
        welcome = await receive(ws)
        assert (welcome["type"], welcome["session_id"]) == ("system", session_id)
        assert welcome["message"] == f"Connected to chat session {session_id}"
        yield ws


async def receive(ws: ClientWebSocketResponse) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await ws.receive_str(timeout=TIMEOUT_S))
    return message


async def answer(ws: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """All messages up to the end of an answer."""
    messages = [await receive(ws)]
    while messages[-1]["type"] not in ("ai_message_complete", "error"):
        messages.append(await receive(ws))
    return messages


async def ask(ws: ClientWebSocketResponse, text: str, **wishes: Any) -> list[dict[str, Any]]:
    await ws.send_json({"type": "user_message", "message": text, **wishes})
    return await answer(ws)


def history(service: ServiceProcess, session_id: str, key: str | None = None) -> list[tuple[str, str]]:
    answer = service.http.get(f"/chat/sessions/{session_id}", headers=bearer(key))
    assert answer.status_code == 200, answer.text
    return [(message["role"], message["content"]) for message in answer.json()["messages"]]


async def test_an_answer_comes_in_parts(service: ServiceProcess) -> None:
    async with member(service, "parts") as ws:
        messages = await ask(ws, "one two three")
    assert messages[0]["type"] == "ai_typing"
    assert messages[0]["typing"] is True
    partials = messages[1:-1]
    assert {each["type"] for each in partials} == {"ai_message_partial"}
    so_far = ""
    for each in partials:
        so_far += each["token"]
        assert each["content"] == so_far
    assert (messages[-1]["type"], messages[-1]["finish_reason"]) == ("ai_message_complete", "stop")
    assert messages[-1]["content"] == so_far == "one two three"
    assert messages[-1]["usage"]["completion_tokens"] > 0
    assert history(service, "parts") == [("user", "one two three"), ("assistant", "one two three")]


async def test_who_comes_without_a_session_gets_one(service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/chat") as ws:
        welcome = await receive(ws)
        assert welcome["num_messages"] == 0
        await ask(ws, "hello")
    async with member(service, welcome["session_id"]):
        pass
    assert len(history(service, welcome["session_id"])) == 2


async def test_the_history_is_the_context(service: ServiceProcess) -> None:
    async with member(service, "context") as ws:
        first = (await ask(ws, "one two three"))[-1]["usage"]["prompt_tokens"]
    async with member(service, "context") as ws:
        second = (await ask(ws, "one two three"))[-1]["usage"]["prompt_tokens"]
    assert second > first
    async with member(service, "another") as ws:
        assert (await ask(ws, "one two three"))[-1]["usage"]["prompt_tokens"] == first


async def test_a_system_prompt_stays_until_another(service: ServiceProcess) -> None:
    async with member(service, "system") as ws:
        await ask(ws, "a", system="Be kind.")
        await ask(ws, "b")
        assert history(service, "system")[0] == ("system", "Be kind.")
        await ask(ws, "c", system="Be brief.")
        roles = [role for role, _ in history(service, "system")]
        assert (history(service, "system")[0], roles.count("system")) == (("system", "Be brief."), 1)
        await ask(ws, "d", system="")
        assert history(service, "system")[0] == ("user", "a")


async def test_the_others_see_and_hear_all(service: ServiceProcess) -> None:
    async with member(service, "together") as anna, member(service, "together") as ben:
        await anna.send_json({"type": "typing", "typing": True})
        typing = await receive(ben)
        assert (typing["type"], typing["session_id"], typing["typing"]) == ("user_typing", "together", True)
        told = await ask(anna, "good morning")
        said = await receive(ben)
        assert (said["type"], said["message"], said["author"]) == (
            "user_message",
            "good morning",
            typing["author"],
        )
        assert (await answer(ben))[-1] == told[-1]
        assert told[-1]["content"] == "good morning"


async def test_who_comes_in_mid_answer_hears_it_from_the_beginning(service: ServiceProcess) -> None:
    async with member(service, "late") as early:
        await early.send_json(LONG)
        while (await receive(early))["type"] != "ai_message_partial":
            pass
        async with member(service, "late") as late:
            assert (await receive(late))["type"] == "ai_typing"
            heard = await receive(late)
            assert heard["content"] == heard["token"]
            assert heard["content"].startswith("x")
            await late.send_json({"type": "cancel"})
            endings = [(await answer(ws))[-1] for ws in (early, late)]
    assert endings[0] == endings[1]
    assert (endings[0]["type"], endings[0]["finish_reason"]) == ("ai_message_complete", "cancelled")


async def test_an_answer_goes_on_for_who_comes_back(service: ServiceProcess) -> None:
    async with member(service, "back") as ws:
        await ws.send_json(LONG | {"message": "x " * 40})
        while (await receive(ws))["type"] != "ai_message_partial":
            pass
    async with member(service, "back") as ws:
        ending = (await answer(ws))[-1]
    assert (ending["finish_reason"], ending["content"].split()) == ("stop", ["x"] * 40)


async def test_messages_are_answered_one_after_another(service: ServiceProcess) -> None:
    async with member(service, "turns") as ws:
        for text in ("one", "two", "three"):
            await ws.send_json({"type": "user_message", "message": text})
        told = [await answer(ws) for _ in range(3)]
    assert [messages[-1]["content"] for messages in told] == ["one", "two", "three"]
    for messages in told:
        assert len({each["stream_id"] for each in messages}) == 1
    assert [text for _, text in history(service, "turns")] == ["one", "one", "two", "two", "three", "three"]


async def test_too_many_waiting_messages_are_refused(service: ServiceProcess) -> None:
    async with member(service, "eager") as ws:
        for _ in range(12):
            await ws.send_json(LONG)
        num_answers = num_refused = 0
        while num_answers + num_refused < 12:
            message = await receive(ws)
            if message["type"] == "ai_typing":
                await ws.send_json({"type": "cancel"})
            elif message["type"] == "ai_message_complete":
                num_answers += 1
            elif message["type"] == "error":
                assert (message["error"]["code"], message["error"]["type"]) == (
                    "too_many_messages",
                    "rate_limit_error",
                )
                assert ">= 8 (chat.max_waiting)" in message["error"]["message"]
                num_refused += 1
    assert num_refused in (3, 4)
    service.wait_idle()


async def test_ping_and_typing_while_an_answer_streams(service: ServiceProcess) -> None:
    async with member(service, "busy") as ws:
        await ws.send_json(LONG)
        assert (await receive(ws))["type"] == "ai_typing"
        await ws.send_json({"type": "ping"})
        message = await receive(ws)
        while message["type"] == "ai_message_partial":
            message = await receive(ws)
        assert (message["type"], message["timestamp"] > 1.7e9) == ("pong", True)
        await ws.send_json({"type": "cancel"})
        assert (await answer(ws))[-1]["finish_reason"] == "cancelled"
        await ws.send_json({"type": "cancel"})
        error = await receive(ws)
        assert (error["type"], error["error"]["code"]) == ("error", "not_running")


@pytest.mark.parametrize(
    ("message", "param", "words"),
    [
        ("x", None, "not valid JSON"),
        ("[]", None, "Expected `object`"),
        ("{}", "type", "required"),
        ('{"type": "shout"}', "type", "shout"),
        ('{"type": "user_message"}', "message", "required"),
        ('{"type": "user_message", "message": ""}', "message", "length"),
        ('{"type": "user_message", "message": "x", "model": "nope"}', "model", "there is: echo"),
        ('{"type": "user_message", "message": "x", "max_tokens": 0}', "max_tokens", ">= 1"),
        ('{"type": "user_message", "message": "x", "max_tokens": true}', "max_tokens", "int"),
        ('{"type": "typing", "typing": "yes"}', "typing", "bool"),
    ],
)
async def test_what_is_wrong_is_told_and_the_socket_stays(
    service: ServiceProcess, message: str, param: str | None, words: str
) -> None:
    async with member(service, "wrong") as ws, member(service, "wrong") as other:
        await ws.send_str(message)
        error = await receive(ws)
        assert (error["type"], error["error"]["param"]) == ("error", param)
        assert words in error["error"]["message"]
        assert (await ask(ws, "still here"))[-1]["content"] == "still here"
        assert (await receive(other))["message"] == "still here"


async def test_a_session_belongs_to_its_key(strict_service: ServiceProcess) -> None:
    async with member(strict_service, "own", ALICE) as anna, member(strict_service, "own", BOB) as ben:
        await anna.send_json({"type": "typing", "typing": True})
        await ask(anna, "secret")
        await ben.send_json({"type": "ping"})
        assert (await receive(ben))["type"] == "pong"
    assert history(strict_service, "own", ALICE)[0] == ("user", "secret")
    assert strict_service.http.get("/chat/sessions/own", headers=bearer(BOB)).status_code == 404


async def test_a_session_that_is_deleted_in_mid_answer_stays_deleted(service: ServiceProcess) -> None:
    async with member(service, "gone") as ws:
        await ask(ws, "first")
        await ws.send_json(LONG)
        while (await receive(ws))["type"] != "ai_message_partial":
            pass
        assert service.http.delete("/chat/sessions/gone").status_code == 200
        await ws.send_json({"type": "cancel"})
        await answer(ws)
    service.wait_idle()
    assert service.http.get("/chat/sessions/gone").status_code == 404


async def test_a_session_id_that_is_too_long_is_refused_before_the_upgrade(service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(f"{service.url}/chat?session_id={'x' * 129}")
    assert caught.value.status == 422


async def test_nothing_is_left_when_all_have_gone(service: ServiceProcess) -> None:
    async def visit(number: int) -> None:
        async with member(service, f"visit {number % 3}") as ws:
            await ws.send_json(LONG | {"max_tokens": 3})
            await receive(ws)

    await asyncio.gather(*(visit(number) for number in range(12)))
    service.wait_for_metrics(lambda m: m["sockets"]["/chat"]["num_open"] == 0)
    service.wait_idle()
