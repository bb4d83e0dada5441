"""`/ws/images`: the objects of `/generate_image_stream` as messages, pictures as frames where asked."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from PIL import Image

from tests.service_process import ServiceProcess
from tests.slow import narrow_connector
from tests.websocket import TIMEOUT_S

WISHES: dict[str, Any] = {"type": "generate", "prompt": "a fox", "seed": 7, "steps": 2, "preview_every": 1}
LONG = WISHES | {"steps": 150, "preview_every": 0}
ENDINGS = ("complete", "cancelled", "error")


@pytest.fixture(scope="module")
def service(image_service: ServiceProcess) -> Iterator[ServiceProcess]:
    yield image_service
    image_service.wait_ready()
    image_service.check_serves()


@pytest.fixture
async def socket(service: ServiceProcess) -> AsyncIterator[ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws/images") as ws:
        yield ws


async def receive(ws: ClientWebSocketResponse) -> Any:
    """The next message: an object, or a picture's bytes."""
    message = await ws.receive(TIMEOUT_S)
    assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
    return json.loads(message.data) if message.type is WSMsgType.TEXT else message.data


async def run(ws: ClientWebSocketResponse, **wishes: Any) -> list[dict[str, Any]]:
    """All objects of one request."""
    await ws.send_json(wishes)
    objects = [await receive(ws)]
    while objects[-1].get("status") not in ENDINGS:
        objects.append(await receive(ws))
    return objects


async def refused(ws: ClientWebSocketResponse, message: str | bytes) -> dict[str, Any]:
    await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_str(message))
    answer = await receive(ws)
    assert answer["type"] == "error"
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = answer["error"]
    return error


async def test_several_requests_one_after_another(socket: ClientWebSocketResponse) -> None:
    for number in ("1", "2"):
        objects = await run(socket, **WISHES, request_id=number)
        assert [each["step"] for each in objects] == [0, 1, 2, 2]
        assert [bool(each["image"]) for each in objects] == [False, True, False, True]
        assert {each["request_id"] for each in objects} == {number}
        assert objects[0]["stream_id"].startswith("st_")
        assert (objects[-1]["seed"], objects[-1]["finish_reason"]) == (7, "completed")


async def test_a_picture_follows_its_object_as_one_frame(socket: ClientWebSocketResponse) -> None:
    await socket.send_json(WISHES | {"binary": True, "n": 2, "image_format": "png"})
    expected: list[int] = []
    told: dict[str, Any] = {}
    num_pictures = 0
    while told.get("status") != "complete" or expected:
        message = await receive(socket)
        if expected:
            assert len(message) == expected.pop(0)
            assert Image.open(io.BytesIO(message)).format == "PNG"
            num_pictures += 1
        else:
            told = message
            assert told["image"] is None
            expected = told.get("images_bytes", [])
            assert expected[:1] == [told["image_bytes"]] if expected else "image_bytes" not in told
    assert num_pictures == 4


async def test_cancel_and_busy(socket: ClientWebSocketResponse, service: ServiceProcess) -> None:
    await socket.send_json(LONG)
    assert (await receive(socket))["status"] == "initializing"
    await socket.send_json(WISHES | {"request_id": "second"})
    answer: dict[str, Any] = {}
    while "type" not in answer:
        answer = await receive(socket)
    assert (answer["error"]["code"], answer["request_id"]) == ("busy", "second")
    await socket.send_json({"type": "cancel"})
    while answer.get("status") != "cancelled":
        answer = await receive(socket)
    assert (answer["finish_reason"], answer["image"]) == ("cancelled", None)
    assert (await refused(socket, '{"type": "cancel"}'))["code"] == "not_running"
    service.wait_idle()
    assert (await run(socket, **WISHES))[-1]["status"] == "complete"


@pytest.mark.parametrize(
    ("message", "param", "words"),
    [
        ("x", None, "not valid JSON"),
        ('{"type": "generate", "prompt": "x", "guidance_scale": NaN}', "guidance_scale", "finite"),
        ("[]", None, "Expected `object`"),
        ("{}", "type", "required"),
        ('{"type": "nope"}', "type", "nope"),
        ('{"type": "generate"}', "prompt", "required"),
        ('{"type": "generate", "prompt": "x", "steps": 0}', "steps", ">= 1"),
        ('{"type": "generate", "prompt": "x", "steps": 151}', "steps", "151 > 150"),
        ('{"type": "generate", "prompt": "x", "width": 3}', "width", "multiple"),
        ('{"type": "generate", "prompt": "x", "model": "echo"}', "model", "there is: sd"),
        (b"\x00", None, "text frame"),
    ],
)
async def test_what_is_wrong_is_told_and_the_socket_stays(
    socket: ClientWebSocketResponse, message: str | bytes, param: str | None, words: str
) -> None:
    error = await refused(socket, message)
    assert error["param"] == param
    assert words in error["message"]
    assert (await run(socket, **WISHES))[-1]["status"] == "complete"


async def test_leaving_ends_the_job(service: ServiceProcess) -> None:
    before = service.metrics()["ended"].get("client_gone", 0)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws/images") as ws:
        await ws.send_json(LONG)
        assert (await receive(ws))["step"] == 0
    service.wait_for_metrics(lambda m: m["ended"].get("client_gone", 0) == before + 1)
    service.wait_idle()
    service.wait_for_metrics(lambda m: m["open_sockets"] == 0)


async def test_its_streams_are_streams_like_others(
    socket: ClientWebSocketResponse, service: ServiceProcess
) -> None:
    objects = await run(socket, **WISHES)
    listed = {each["id"]: each for each in service.http.get("/streams").json()["streams"]}
    own = listed[objects[0]["stream_id"]]
    assert (own["route"], own["model"], own["state"], own["steps"]) == ("/ws/images", "sd", "completed", 2)


async def test_a_slow_reader_loses_previews_and_nothing_else(service: ServiceProcess) -> None:
    async with (
        aiohttp.ClientSession(connector=narrow_connector()) as session,
        session.ws_connect(f"{service.url}/ws/images") as socket,
    ):
        await check_slow_reader(socket, service)


async def check_slow_reader(socket: ClientWebSocketResponse, service: ServiceProcess) -> None:
    steps = 24
    wishes = WISHES | {"steps": steps, "width": 256, "height": 256, "image_format": "png", "binary": True}
    await socket.send_json(wishes)
    await asyncio.to_thread(service.wait_for_metrics, lambda metrics: metrics["paused_streams"] == 1)
    objects: list[Any] = []
    sizes: list[int] = []
    while not (objects and objects[-1]["status"] == "complete" and sizes[-1] == objects[-1]["image_bytes"]):
        message = await receive(socket)
        if isinstance(message, bytes):
            sizes.append(len(message))
        else:
            objects.append(message)
    assert [each["step"] for each in objects] == [*range(steps + 1), steps]
    assert sizes == [each["image_bytes"] for each in objects if "image_bytes" in each]
    assert len(sizes) < steps
