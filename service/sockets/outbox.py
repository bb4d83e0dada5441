"""What a websocket has not taken yet: in order, counted, of what supersedes itself only the newest."""

import itertools
import struct
from collections.abc import Hashable
from typing import NamedTuple

from aiohttp import WSMsgType

# What a waiting frame costs beside its body.
FRAME_BYTES = 128
# The first bit of a message's only frame (RFC 6455, section 5.2).
FIN = 0x80


class Frame(NamedTuple):
    """One websocket frame to send; made once for all that it goes to."""

    body: bytes
    type: WSMsgType
    head: bytes

    @property
    def num_bytes(self) -> int:
        return len(self.body) + FRAME_BYTES


def make_frame(body: bytes, kind: WSMsgType = WSMsgType.TEXT) -> Frame:
    """A whole message, as servers send it: in one frame, unmasked, uncompressed."""
    size, first = len(body), FIN | kind
    if size < 126:
        head = struct.pack("!BB", first, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 126, size)
    else:
        head = struct.pack("!BBQ", first, 127, size)
    return Frame(body, kind, head)


class Outbox:
    """Frames that wait for one socket. Who puts looks at `num_bytes`: the bound is his."""

    def __init__(self) -> None:
        self._frames: dict[Hashable, Frame] = {}
        self._places = itertools.count()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame, slot: str | None = None) -> bool:
        """Last of all. What waits in the same `slot` goes, and True comes back: it has been superseded."""
        old = self._frames.pop(slot, None) if slot is not None else None
        if old:
            self.num_bytes -= old.num_bytes
        self._frames[next(self._places) if slot is None else slot] = frame
        self.num_bytes += frame.num_bytes
        return old is not None

    def take(self) -> Frame:
        """The first. Raises StopIteration when there is none."""
        frame = self._frames.pop(next(iter(self._frames)))
        self.num_bytes -= frame.num_bytes
        return frame

    def take_some(self, max_bytes: int) -> list[Frame]:
        """The first, and those that follow it while all together are at most `max_bytes`."""
        frames, num_bytes = [self.take()], 0
        while self._frames:
            num_bytes += frames[-1].num_bytes
            if num_bytes + next(iter(self._frames.values())).num_bytes > max_bytes:
                break
            frames.append(self.take())
        return frames

    def clear(self) -> None:
        self._frames.clear()
        self.num_bytes = 0
