"""What a websocket has not taken yet: in order, counted, of what supersedes itself only the newest."""

import itertools
from collections.abc import Hashable
from typing import NamedTuple

from aiohttp import WSMsgType

# What a waiting frame costs beside its body.
FRAME_BYTES = 128


class Frame(NamedTuple):
    """One websocket frame to send."""

    body: bytes
    type: WSMsgType = WSMsgType.TEXT

    @property
    def num_bytes(self) -> int:
        return len(self.body) + FRAME_BYTES


class Outbox:
    """Frames that wait for one socket. Who puts looks at `num_bytes`: the bound is his."""

    def __init__(self) -> None:
        self._frames: dict[Hashable, Frame] = {}
        self._places = itertools.count()
        self.num_bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame, slot: str | None = None) -> None:
        """Last of all. What waits in the same `slot` goes: it has been superseded."""
        if slot is not None and (old := self._frames.pop(slot, None)):
            self.num_bytes -= old.num_bytes
        self._frames[next(self._places) if slot is None else slot] = frame
        self.num_bytes += frame.num_bytes

    def take(self) -> Frame:
        """The first. Raises StopIteration when there is none."""
        frame = self._frames.pop(next(iter(self._frames)))
        self.num_bytes -= frame.num_bytes
        return frame

    def clear(self) -> None:
        self._frames.clear()
        self.num_bytes = 0
