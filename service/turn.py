"""One turn of the event loop: what arrived in it is rendered, then written, stream after stream.

Sockets are written back to back, after everything has been rendered. A write that finds its reader
asleep costs four times one that finds it awake (19 us against 4 us on a virtual machine), and a
reader that has to wait for the next rendering falls asleep in between.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Deliverable(Protocol):
    """What a turn does with each stream that had events."""

    def wake(self) -> None: ...
    def check_pressure(self) -> None: ...


class Turn:
    """Gathers streams and writes; delivers them once, at the end of the turn."""

    def __init__(self) -> None:
        self._streams: dict[Deliverable, None] = {}
        self._writes: list[Callable[[], None]] = []

    def touch(self, stream: Deliverable) -> None:
        """This stream has events that its readers have not seen."""
        if not self._streams:
            asyncio.get_running_loop().call_soon(self.deliver)
        self._streams[stream] = None

    def write_later(self, write: Callable[[], None]) -> None:
        """Call `write` after all streams have been rendered. Only from within `wake`."""
        self._writes.append(write)

    def deliver(self) -> None:
        """Render, write, check pressure: for all streams that were touched."""
        streams, self._streams = self._streams, {}
        for stream in streams:
            stream.wake()
        writes, self._writes = self._writes, []
        for write in writes:
            write()
        for stream in streams:
            stream.check_pressure()
