"""Websockets: `/ws` echoes; what is too big, too many or no text is refused in the contract's words."""

import json
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from tests.contract.conftest import ALICE, BOB
from tests.service_process import ServiceProcess, bearer

TIMEOUT_S = 20


async def refusal(session: aiohttp.ClientSession, url: str, **request: Any) -> tuple[int, str]:
    """Status and error code of an upgrade that is refused."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers |= {"Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw=="} | request.pop("headers", {})
    async with session.get(url, headers=headers, **request) as answer:
        assert ("Retry-After" in answer.headers) == (answer.status in (429, 503))
        return answer.status, (await answer.json())["error"]["code"]


async def test_echo(service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws") as ws:
        for text in ("one", "", "🦊 " * 1_000):
            await ws.send_str(text)
            assert (await ws.receive(TIMEOUT_S)).data == f"Echo: {text}"


async def test_a_binary_frame_gets_an_error_and_the_socket_stays(service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws") as ws:
        await ws.send_bytes(b"\x00")
        answer = json.loads((await ws.receive(TIMEOUT_S)).data)
        assert answer["type"] == "error"
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        await ws.send_str("still")
        assert (await ws.receive(TIMEOUT_S)).data == "Echo: still"


async def test_an_oversized_frame_closes_with_1009(strict_service: ServiceProcess) -> None:
    async with (
        aiohttp.ClientSession(headers=bearer(ALICE)) as session,
        session.ws_connect(f"{strict_service.url}/ws") as ws,
    ):
        await ws.send_str("x" * 2_000)
        assert (await ws.receive(TIMEOUT_S)).type is WSMsgType.TEXT
        await ws.send_str("x" * 3_000)
        assert (await ws.receive(TIMEOUT_S)).type is WSMsgType.CLOSE
        assert ws.close_code == 1009


async def test_too_many_sockets_are_refused(strict_service: ServiceProcess) -> None:
    url = f"{strict_service.url}/ws"
    alice, bob = {"headers": bearer(ALICE)}, {"headers": bearer(BOB)}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, **alice), session.ws_connect(url, **alice):
            assert strict_service.metrics(ALICE)["open_sockets"] == 2
            assert await refusal(session, url, **alice) == (429, "too_many_sockets")
            async with session.ws_connect(url, **bob), session.ws_connect(url, **bob):
                assert await refusal(session, url, **bob) == (503, "too_many_sockets")
        strict_service.wait_for_metrics(lambda m: m["open_sockets"] == 0, ALICE)
        async with session.ws_connect(url, **alice) as ws:
            await ws.send_str("again")
            assert (await ws.receive(TIMEOUT_S)).data == "Echo: again"


async def test_a_socket_needs_a_key_where_there_are_keys(strict_service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(WSServerHandshakeError) as caught:
            await session.ws_connect(f"{strict_service.url}/ws")
    assert caught.value.status == 401
