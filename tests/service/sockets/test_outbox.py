"""Frames that wait: in order, counted, the superseded gone; their heads as the standard has them."""

import asyncio

import pytest
from aiohttp import WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from service.sockets.outbox import FRAME_BYTES, Outbox, make_frame


def bodies(outbox: Outbox) -> list[bytes]:
    return [outbox.take().body for _ in range(len(outbox))]


def test_order_and_bytes() -> None:
    outbox = Outbox()
    for body in (b"one", b"", b"three"):
        outbox.put(make_frame(body))
    assert outbox.num_bytes == 8 + 3 * FRAME_BYTES
    assert bodies(outbox) == [b"one", b"", b"three"]
    assert (len(outbox), outbox.num_bytes) == (0, 0)


def test_what_supersedes_itself() -> None:
    outbox = Outbox()
    assert not outbox.put(make_frame(b"a1"), "a")
    assert not outbox.put(make_frame(b"between"))
    assert not outbox.put(make_frame(b"b1"), "b")
    assert outbox.put(make_frame(b"a2"), "a")
    assert outbox.num_bytes == 11 + 3 * FRAME_BYTES
    assert bodies(outbox) == [b"between", b"b1", b"a2"]
    assert not outbox.put(make_frame(b"a3"), "a")


@given(st.lists(st.binary(max_size=300)), st.integers(0, 2_000))
def test_some_are_all_in_order(sent: list[bytes], max_bytes: int) -> None:
    outbox = Outbox()
    for body in sent:
        outbox.put(make_frame(body))
    taken: list[bytes] = []
    while outbox:
        frames = outbox.take_some(max_bytes)
        assert len(frames) == 1 or sum(frame.num_bytes for frame in frames) <= max_bytes
        taken += [frame.body for frame in frames]
    assert taken == sent
    assert outbox.num_bytes == 0


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("kind", [WSMsgType.TEXT, WSMsgType.BINARY])
async def test_heads_are_read_by_aiohttps_client(size: int, kind: WSMsgType) -> None:
    loop = asyncio.get_running_loop()
    queue = WebSocketDataQueue(BaseProtocol(loop), 1 << 20, loop=loop)
    reader = WebSocketReader(queue, 1 << 20, compress=False, decode_text=True)
    frame = make_frame(b"x" * size, kind)
    reader.feed_data(frame.head + frame.body)
    message = await queue.read()
    assert message.type is kind
    assert len(message.data) == size
