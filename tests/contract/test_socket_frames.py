"""Frames that mean harm or nothing: each socket gets its close code, and the service serves on."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.service_process import ServiceProcess
from tests.websocket import BINARY, CLOSE, PING, PONG, TEXT, BareSocket, bare, frame

LIMIT = 1 << 16
RATE = 200
SETTINGS = (
    "--model=echo",
    "--set=model_defaults.engine=echo",
    "--set=models.steady.path=echo@50",
    f"--set=sockets.max_messages_per_s={RATE}",
    f"--set=sockets.max_message_bytes={LIMIT}",
)
CHAT = {"type": "chat", "message": "tick " * 400, "model": "steady", "max_tokens": 400}
CONTINUATION = 0


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder: Path = tmp_path_factory.mktemp("frames")
    with ServiceProcess(folder, *SETTINGS) as service:
        yield service
        assert service.stop() == 0


@pytest.fixture
def service(started: ServiceProcess) -> Iterator[ServiceProcess]:
    """Takes 200 messages a second. After each test no socket, no stream and no task is left, nothing
    went wrong inside, and one more request is served.
    """
    started.check_serves()
    num_tasks = started.metrics()["num_tasks"]
    yield started
    started.wait_for_metrics(lambda m: m["open_sockets"] == 0 and m["num_tasks"] <= num_tasks)
    started.check_serves()
    assert not [line for line in started.log_lines() if line.get("level") == "ERROR"]


@pytest.fixture
def ws(service: ServiceProcess) -> Iterator[BareSocket]:
    with bare(service.url, "/ws") as opened:
        yield opened


def check_echoes(ws: BareSocket) -> None:
    ws.send(frame(b"still here"))
    assert ws.read().payload == b"Echo: still here"


def close_frame(payload: bytes) -> bytes:
    return frame(payload, CLOSE)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(b"\xff\xfe")], 1007),
        ([frame(b"a\xc3", fin=False), frame(b"b", CONTINUATION)], 1007),
        ([frame(b"x" * (LIMIT + 1))], 1009),
        ([frame(b"x" * LIMIT, fin=False), frame(b"x", CONTINUATION)], 1009),
        ([bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 40) + b"mask"], 1009),
        ([bytes([0x81, 0xFF]) + struct.pack("!Q", (1 << 64) - 1) + b"mask"], 1009),
        ([frame(b"x", rsv=4)], 1002),
        ([frame(b"x", rsv=2)], 1002),
        ([frame(b"x", rsv=1)], 1002),
        ([frame(b"x", 3)], 1002),
        ([frame(b"x", 15)], 1002),
        ([frame(b"x", CONTINUATION)], 1002),
        ([frame(b"a", fin=False), frame(b"b", TEXT)], 1002),
        ([frame(b"x", PING, fin=False)], 1002),
        ([frame(b"x" * 126, PING)], 1002),
        ([close_frame(b"\x03")], 1002),
        ([close_frame(struct.pack("!H", 999))], 1002),
        ([close_frame(struct.pack("!H", 1005))], 1002),
        ([close_frame(struct.pack("!H", 2999))], 1002),
        ([close_frame(struct.pack("!H", 1000) + b"\xff")], 1007),
    ],
)
def test_what_breaks_the_protocol(ws: BareSocket, frames: list[bytes], code: int) -> None:
    ws.send(frame(b"before"), *frames)
    assert ws.read().payload == b"Echo: before"
    assert ws.read_to_close()[-1].code == code
    assert ws.is_ended()


@pytest.mark.parametrize("payload", [b"", struct.pack("!H", 1000), struct.pack("!H", 4999) + "ünï".encode()])
def test_a_close_is_answered(ws: BareSocket, payload: bytes) -> None:
    ws.send(close_frame(payload))
    assert ws.read().opcode == CLOSE
    assert ws.is_ended()


@pytest.mark.parametrize("end", [close_frame(b""), close_frame(struct.pack("!H", 999)), b""])
def test_a_close_in_the_middle_of_an_answer_ends_it(service: ServiceProcess, end: bytes) -> None:
    before = service.metrics()["ended"].get("client_gone", 0)
    with bare(service.url, "/ws/me") as ws:
        ws.send_json(**CHAT)
        assert json.loads(ws.read().payload)["type"] == "text"
        if end:
            ws.send(end)
            assert ws.read_to_close()[-1].code in (1000, 1002)
    service.wait_for_metrics(lambda m: m["ended"].get("client_gone", 0) == before + 1)


def test_a_reset_in_the_middle_of_a_frame(service: ServiceProcess) -> None:
    for path, head in (("/ws", b""), ("/ws/me", frame(json.dumps(CHAT).encode()))):
        with bare(service.url, path) as ws:
            ws.send(head + frame(b"x" * 1_000)[:500])
            if head:
                ws.read()
            # To linger for no time is to reset.
            ws.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    service.wait_idle()


def test_frames_byte_by_byte_and_all_at_once(ws: BareSocket) -> None:
    for byte in frame(b"slow"):
        ws.send(bytes([byte]))
    assert ws.read().payload == b"Echo: slow"
    ws.send(*(frame(b"%d" % number) for number in range(50)))
    assert [ws.read().payload for _ in range(50)] == [b"Echo: %d" % number for number in range(50)]


def test_unmasked_frames_are_read_as_they_are(ws: BareSocket) -> None:
    """RFC 6455 has servers close; aiohttp's parser is lenient, and nothing depends on the mask."""
    ws.send(frame(b"bare", is_masked=False))
    assert ws.read().payload == b"Echo: bare"


def test_a_message_in_very_many_fragments(ws: BareSocket) -> None:
    ws.send(frame(b"", fin=False), *[frame(b"", CONTINUATION, fin=False)] * 20_000)
    ws.send(*[frame(b"x", CONTINUATION, fin=False)] * 1_000)
    ws.send(frame(b"ping", PING), frame(b"!", CONTINUATION))
    assert ws.read() == (PONG, b"ping")
    assert ws.read().payload == b"Echo: " + b"x" * 1_000 + b"!"


def test_a_flood_of_fragments_is_cut_off_at_the_limit(ws: BareSocket) -> None:
    ws.send(frame(b"x", fin=False), *[frame(b"x" * 1_000, CONTINUATION, fin=False)] * 65)
    with suppress(ConnectionError):
        ws.send(*[frame(b"x" * 1_000, CONTINUATION, fin=False)] * 1_000)
    assert ws.read_to_close()[-1].code == 1009


@pytest.mark.parametrize("path", ["/ws/me", "/ws/images", "/v1/chat/completions"])
def test_deep_and_odd_json(service: ServiceProcess, path: str) -> None:
    deep = b"[" * 30_000 + b"]" * 30_000
    odd = [
        deep,
        b'{"type":' + deep + b"}",
        b'{"a":' * 9_000,
        b"\x00",
        b"NaN",
        b'{"type": "\\ud800"}',
        b"1e999",
    ]
    with bare(service.url, path) as ws:
        for payload in odd:
            ws.send(frame(payload))
            answer = json.loads(ws.read().payload)
            assert answer["type"] == "error", payload[:20]
            assert answer["error"]["type"] == "invalid_request_error"
            assert len(answer["error"]["message"]) < 500
        ws.send(frame(b"{}", BINARY))
        assert "text frame" in json.loads(ws.read().payload)["error"]["message"]


def test_a_flood_of_messages_is_slowed_and_none_is_lost(ws: BareSocket, service: ServiceProcess) -> None:
    """A second's messages at once, more at the rate; it is said once."""
    before = service.metrics()["sockets"]["/ws"]["num_throttled"]
    number, began = RATE * 3, time.monotonic()
    ws.send(*(frame(b"%d" % i) for i in range(number)))
    told, echoes = [], []
    while len(echoes) < number:
        payload = ws.read().payload
        (echoes if payload.startswith(b"Echo") else told).append(payload)
    assert echoes == [b"Echo: %d" % i for i in range(number)]
    # Not a timed test: sooner than this would break the promise, later may be anything.
    assert time.monotonic() - began > 1.9
    error = json.loads(told[0])["error"]
    assert len(told) == 1
    assert (error["type"], error["code"]) == ("rate_limit_error", "too_many_messages")
    assert f"{RATE}.0 messages a second (sockets.max_messages_per_s)" in error["message"]
    assert service.metrics()["sockets"]["/ws"]["num_throttled"] == before + 1


def test_who_floods_does_not_hold_up_others_of_his_key(service: ServiceProcess) -> None:
    """They are answered while most of the flood still waits."""
    with bare(service.url, "/ws") as flooding, bare(service.url, "/ws") as other:
        before = service.metrics()["sockets"]["/ws"]["num_received"]
        flooding.send(*[frame(b"x")] * RATE * 20)
        for _ in range(5):
            other.send(frame(b"quick"))
            while other.read().payload != b"Echo: quick":
                pass
        assert service.metrics()["sockets"]["/ws"]["num_received"] - before < RATE * 20


def test_a_flood_of_pings_is_answered_for_the_last(ws: BareSocket) -> None:
    ws.send(*(frame(b"%d" % i, PING) for i in range(RATE * 2)), frame(b"after"))
    frames = [ws.read()]
    while frames[-1].payload != b"Echo: after":
        frames.append(ws.read())
    pongs = [each.payload for each in frames if each.opcode == PONG]
    assert pongs[-1] == b"%d" % (RATE * 2 - 1)
    assert [int(pong) for pong in pongs] == sorted(int(pong) for pong in pongs)


def test_pongs_that_nobody_asked_for(ws: BareSocket) -> None:
    ws.send(*[frame(b"x" * 125, PONG)] * 100)
    check_echoes(ws)


def test_no_websocket_after_the_upgrade(service: ServiceProcess) -> None:
    with bare(service.url, "/ws") as ws:
        ws.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ws.read_to_close()[-1].code == 1002
    with bare(service.url, "/ws") as ws:
        ws.send(b"\x00" * 100_000)
        assert ws.read_to_close()[-1].code == 1002


def test_many_open_and_vanish_at_once(service: ServiceProcess) -> None:
    for _ in range(100):
        with bare(service.url, "/ws/me") as ws:
            ws.send_json(**CHAT)
    service.wait_idle()
