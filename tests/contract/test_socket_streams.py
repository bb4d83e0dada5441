"""`/streams/{stream_id}` as a websocket: a stream's events as messages, from any of them on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from tests import sse
from tests.contract.conftest import ALICE, BOB
from tests.contract.test_sockets import refusal
from tests.service_process import ServiceProcess, bearer, wait_for
from tests.websocket import TIMEOUT_S, error_of, receive

RESUMABLE = {"X-Stream-Resumable": "1"}
PROMPT = {"prompt": "one two three four"}
LONG = {"prompt": "tick " * 400, "model": "steady", "max_tokens": 400}


@asynccontextmanager
async def following(
    service: ServiceProcess, stream_id: str, query: str = "", **headers: str
) -> AsyncIterator[ClientWebSocketResponse]:
    url = f"{service.url}/streams/{stream_id}{query}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as ws:
        yield ws


async def read_all(ws: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """All messages; the socket is closed after the last one with 1000."""
    told = []
    while (message := await ws.receive(TIMEOUT_S)).type is WSMsgType.TEXT:
        told.append(message.json())
    assert (message.type, ws.close_code) == (WSMsgType.CLOSE, 1000)
    return told


def finished(service: ServiceProcess, path: str = "/generate_stream", **body: Any) -> Any:
    return service.http.post(path, json=PROMPT | body, headers=RESUMABLE)


@pytest.mark.parametrize("place", ["header", "query"])
@pytest.mark.parametrize("after", [0, 1, 3, 5, 6, 99])
async def test_from_any_event_on(service: ServiceProcess, after: int, place: str) -> None:
    answer = finished(service)
    expected = [
        {"type": "event", "id": int(event.id), "event": event.event, "data": event.json()}
        for event in sse.decode(answer.content)
        if event.id
    ]
    assert len(expected) == 6
    headers = {"Last-Event-ID": str(after)} if place == "header" else {}
    query = f"?last_event_id={after}" if place == "query" else ""
    async with following(service, answer.headers["X-Stream-Id"], query, **headers) as ws:
        assert await read_all(ws) == expected[after:]


@pytest.mark.parametrize("path", ["/stream_text", "/safe_stream", "/v1/completions"])
async def test_every_dialect(service: ServiceProcess, path: str) -> None:
    answer = finished(service, path, stream=True)
    async with following(service, answer.headers["X-Stream-Id"]) as ws:
        told = await read_all(ws)
    data = [each["data"] for each in told if each["data"] != "[DONE]"]
    assert data == sse.objects(answer.content)


async def test_live_with_several_readers_and_a_cancel(service: ServiceProcess) -> None:
    with service.http.stream("POST", "/generate_stream", json=LONG, headers=RESUMABLE) as answer:
        stream_id = answer.headers["X-Stream-Id"]
        async with following(service, stream_id) as one:
            first = [await receive(one) for _ in range(5)]
            assert [each["id"] for each in first] == [1, 2, 3, 4, 5]
            async with following(service, stream_id, "?last_event_id=3") as two:
                second = [await receive(two) for _ in range(5)]
                assert [each["id"] for each in second] == [4, 5, 6, 7, 8]
                await two.send_json({"type": "nope"})
                await two.send_str("no JSON")
                await two.send_json({"type": "cancel"})
                first += await read_all(one)
                second += await read_all(two)
        events = [int(event.id or 0) for event in sse.events(answer)]
    complaints = [error_of(each)["code"] for each in second if each["type"] == "error"]
    assert complaints == ["bad_params", "bad_json"]
    second = [each for each in second if each["type"] != "error"]
    assert first[3:] == second
    assert [each["id"] for each in first] == events
    assert first[-1]["event"] == "complete"
    assert first[-1]["data"]["finish_reason"] == "cancelled"
    service.wait_idle()


async def test_a_reader_who_leaves_stops_nobody(service: ServiceProcess) -> None:
    with service.http.stream("POST", "/generate_stream", json=LONG, headers=RESUMABLE) as answer:
        stream_id = answer.headers["X-Stream-Id"]
        async with following(service, stream_id) as ws:
            await receive(ws)
        service.wait_for_metrics(lambda m: m["sockets"]["/streams/{stream_id}"]["num_open"] == 0)
        service.wait_for_metrics(lambda m: m["current_streams"][0]["state"] == "running")
        async with following(service, stream_id, "?last_event_id=1") as ws:
            assert (await receive(ws))["id"] == 2
            service.http.post(f"/streams/{stream_id}/cancel")
            assert (await read_all(ws))[-1]["data"]["finish_reason"] == "cancelled"


async def test_refusals_come_before_the_upgrade(strict_service: ServiceProcess) -> None:
    answer = strict_service.http.post("/stream_text", json=PROMPT, headers=bearer(ALICE) | RESUMABLE)
    url = f"{strict_service.url}/streams/{answer.headers['X-Stream-Id']}"
    async with aiohttp.ClientSession() as session:
        for other in (f"{strict_service.url}/streams/st_unknown", url):
            status, error = await refusal(session, other, **bearer(BOB))
            assert (status, error["code"]) == (404, "stream_not_found")
        status, error = await refusal(session, f"{url}?last_event_id=x", **bearer(ALICE))
        assert (status, error["param"]) == (400, "last_event_id")

        async def is_expired() -> bool:
            async with session.get(url, headers=bearer(ALICE)) as plain:
                return plain.status == 410

        while not await is_expired():
            pass
        status, error = await refusal(session, url, **bearer(ALICE))
        assert (status, error["code"]) == (410, "stream_expired")


async def test_what_is_gone_from_the_log_is_410(service: ServiceProcess) -> None:
    body = {"prompt": "x", "max_tokens": 10_000, "ignore_eos": True, "stream": True}
    with service.http.stream("POST", "/v1/completions", json=body) as answer:
        stream_id = answer.headers["X-Stream-Id"]
        answer.read()
    wait_for(lambda: service.http.get(f"/streams/{stream_id}").status_code == 410)
    with pytest.raises(WSServerHandshakeError) as caught:
        async with following(service, stream_id):
            pass
    assert caught.value.status == 410
