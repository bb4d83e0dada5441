"""Websockets: who may open one, how many, and in which words he is refused; `/ws` echoes."""

import json
from collections import Counter
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse

from tests.contract.conftest import ALICE, BOB
from tests.contract.raw import exchange
from tests.service_process import ServiceProcess, bearer
from tests.websocket import TIMEOUT_S, UPGRADE, closed_with, error_of, receive

ROUTES = ["/ws", "/ws/me", "/ws/images", "/v1/chat/completions"]


async def refusal(session: aiohttp.ClientSession, url: str, **headers: str | None) -> tuple[int, Any]:
    """Status and error object of an upgrade that is refused; a header of None is not sent."""
    sent = {name: value for name, value in (UPGRADE | headers).items() if value is not None}
    async with session.get(url, headers=sent) as answer:
        assert ("Retry-After" in answer.headers) == (answer.status in (429, 503))
        assert answer.headers["X-Request-Id"]
        error = (await answer.json())["error"]
        assert set(error) == {"message", "type", "param", "code"}
        if answer.status == 426:
            assert answer.headers["Upgrade"] == "websocket"
            assert answer.headers["Sec-WebSocket-Version"] == "13"
        return answer.status, error


async def check_echoes(ws: ClientWebSocketResponse, text: str = "x") -> None:
    await ws.send_str(text)
    assert (await ws.receive(TIMEOUT_S)).data == f"Echo: {text}"


async def test_echo(service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws") as ws:
        for text in ("one", "", "🦊 " * 1_000, "\0", '{"type": "nope"}'):
            await check_echoes(ws, text)


async def test_a_binary_frame_gets_an_error_and_the_socket_stays(service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws") as ws:
        await ws.send_bytes(b"\x00")
        assert "text frame" in error_of(await receive(ws))["message"]
        await check_echoes(ws)


async def test_a_message_may_be_as_large_as_the_limit_and_not_larger(strict_service: ServiceProcess) -> None:
    async with (
        aiohttp.ClientSession(headers=bearer(ALICE)) as session,
        session.ws_connect(f"{strict_service.url}/ws") as ws,
    ):
        await check_echoes(ws, "x" * 2_048)
        await ws.send_str("x" * 2_049)
        assert await closed_with(ws) == 1009


async def test_compression_is_agreed_on_and_its_bombs_are_1009(choosy_service: ServiceProcess) -> None:
    url = f"{choosy_service.url}/ws"
    async with aiohttp.ClientSession(headers=bearer(ALICE)) as session:
        async with session.ws_connect(url, compress=15) as ws:
            assert ws.compress
            await check_echoes(ws, "x" * 2_000)
            await ws.send_str("x" * 100_000)
            assert await closed_with(ws) == 1009
        async with session.ws_connect(url) as ws:
            assert not ws.compress
            await check_echoes(ws)


@pytest.mark.parametrize("path", ROUTES)
def test_a_plain_request_is_told_to_upgrade(service: ServiceProcess, path: str) -> None:
    for headers in ({}, {"Upgrade": "h2c", "Connection": "Upgrade"}):
        answer = service.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (426, "upgrade_required")
        assert answer.headers["Upgrade"] == "websocket"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("headers", "status", "param"),
    [
        ({"Sec-WebSocket-Version": "12"}, 426, "Sec-WebSocket-Version"),
        ({"Sec-WebSocket-Version": None}, 426, "Sec-WebSocket-Version"),
        ({"Sec-WebSocket-Key": "short"}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "ünïcode"}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": None}, 400, "Sec-WebSocket-Key"),
        ({"Connection": "keep-alive"}, 400, "Connection"),
    ],
)
async def test_a_broken_handshake(
    service: ServiceProcess, path: str, headers: dict[str, str | None], status: int, param: str
) -> None:
    async with aiohttp.ClientSession() as session:
        got, error = await refusal(session, f"{service.url}{path}", **headers)
    assert (got, error["param"]) == (status, param)
    assert param in error["message"]


def test_other_protocols_are_no_reason_to_refuse(service: ServiceProcess) -> None:
    """A stream is sent as it always is to whom offers HTTP/2 with every request, as curl does."""
    stream_id = service.http.post(
        "/generate_stream", json={"prompt": "a b"}, headers={"X-Stream-Resumable": "1"}
    ).headers["X-Stream-Id"]
    headers = {"Upgrade": "h2c", "Connection": "Upgrade"}
    answer = service.http.get(f"/streams/{stream_id}", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_a_post_is_no_upgrade(service: ServiceProcess) -> None:
    lines = [f"{name}: {value}" for name, value in UPGRADE.items()]
    head, body = exchange(
        service.url,
        "\r\n".join(["POST /ws HTTP/1.0", "Host: x", *lines, "Content-Length: 0", "", ""]).encode(),
    )
    assert b" 405 " in head.partition(b"\r\n")[0]
    assert json.loads(body)["error"]["code"] == "method_not_allowed"


async def test_too_many_sockets_are_refused(strict_service: ServiceProcess) -> None:
    url = f"{strict_service.url}/ws"
    alice, bob = bearer(ALICE), bearer(BOB)
    strict_service.wait_for_metrics(lambda m: m["open_sockets"] == 0, ALICE)
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, headers=alice), session.ws_connect(url, headers=alice):
            assert strict_service.metrics(ALICE)["open_sockets"] == 2
            status, error = await refusal(session, url, **alice)
            assert (status, error["code"]) == (429, "too_many_sockets")
            assert "2 websockets are open >= 2 (sockets.max_sockets_per_key)" in error["message"]
            async with session.ws_connect(url, headers=bob), session.ws_connect(url, headers=bob):
                status, error = await refusal(session, url, **bob)
                assert (status, error["code"]) == (503, "too_many_sockets")
                assert "4 websockets are open >= 4 (sockets.max_sockets)" in error["message"]
        strict_service.wait_for_metrics(lambda m: m["open_sockets"] == 0, ALICE)
        async with session.ws_connect(url, headers=alice) as ws:
            await check_echoes(ws)


@pytest.mark.parametrize("path", ROUTES)
async def test_a_socket_needs_a_key_where_there_are_keys(strict_service: ServiceProcess, path: str) -> None:
    url = f"{strict_service.url}{path}"
    async with aiohttp.ClientSession() as session:
        for headers in ({}, bearer("sk-eve"), {"x-api-key": "sk-eve"}):
            status, error = await refusal(session, url, **headers)
            assert (status, error["code"]) == (401, "invalid_api_key")
        status, _ = await refusal(session, f"{url}?token={ALICE}")
        assert status == 401
        for headers in (bearer(ALICE), {"x-api-key": ALICE}):
            async with session.ws_connect(url, headers=headers):
                pass


async def test_a_token_in_the_query_is_for_sockets_only(choosy_service: ServiceProcess) -> None:
    url = f"{choosy_service.url}/ws?token="
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url + ALICE) as ws:
            await check_echoes(ws)
        assert (await refusal(session, url + "sk-eve"))[0] == 401
        async with session.ws_connect(url + "sk-eve", headers=bearer(BOB)) as ws:
            await check_echoes(ws)
    assert choosy_service.http.get(f"/metrics?token={ALICE}").status_code == 401
    offered = {"Upgrade": "h2c", "Connection": "Upgrade"}
    assert choosy_service.http.get(f"/metrics?token={ALICE}", headers=offered).status_code == 401


@pytest.mark.parametrize("path", ROUTES)
async def test_pages_of_other_hosts_may_not_connect(strict_service: ServiceProcess, path: str) -> None:
    url, host = f"{strict_service.url}{path}", strict_service.url.removeprefix("http://")
    async with aiohttp.ClientSession(headers=bearer(ALICE)) as session:
        for origin in ("https://evil.example", "null", "http://[", "", f"https://{host}.evil.example"):
            status, error = await refusal(session, url, Origin=origin)
            assert (status, error["code"], error["param"]) == (403, "origin_not_allowed", "Origin")
        for origin in ("https://app.example", f"http://{host}", f"https://{host}"):
            async with session.ws_connect(url, headers={"Origin": origin}):
                pass


async def test_any_page_may_connect_where_all_may_ask(service: ServiceProcess) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{service.url}/ws", headers={"Origin": "https://a.example"}) as ws,
    ):
        await check_echoes(ws)


async def test_counts(service: ServiceProcess) -> None:
    service.wait_for_metrics(lambda m: m["open_sockets"] == 0)
    before = service.metrics()["sockets"].get("/ws") or Counter()
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws") as ws:
        await check_echoes(ws)
        now = service.metrics()["sockets"]["/ws"]
        assert now["num_open"] == before["num_open"] + 1
        assert now["num_opened"] == before["num_opened"] + 1
        assert (now["num_received"], now["num_sent"]) == (before["num_received"] + 1, before["num_sent"] + 1)
    service.wait_for_metrics(lambda m: m["sockets"]["/ws"]["num_open"] == before["num_open"])
    text = service.http.get("/metrics", headers={"Accept": "text/plain"}).text
    assert f'sluice_sockets_opened_total{{route="/ws"}} {float(now["num_opened"])}' in text


def test_the_description_knows_websockets(service: ServiceProcess) -> None:
    paths = service.http.get("/openapi.json").json()["paths"]
    assert set(paths["/ws"]["get"]["responses"]) == {"101", "default"}
    assert set(paths["/streams/{stream_id}"]["get"]["responses"]) == {"101", "200", "default"}
    assert "websocket" in paths["/ws"]["get"]["responses"]["101"]["description"]
