"""A stream's events in their order, until they are trimmed: numbered from 1, counted in bytes."""

from bisect import bisect_right
from typing import NamedTuple

from service.events import StreamEvent


class Entry(NamedTuple):
    """A logged event; `end_bytes` counts all bytes logged up to and with it."""

    seq: int
    event: StreamEvent
    end_bytes: int


class EventLog:
    """`seq` is the newest event's number; `num_bytes` counts all that was ever logged."""

    def __init__(self) -> None:
        self.seq = 0
        self.num_bytes = 0
        self._entries: list[Entry] = []
        self._trimmed_bytes = 0

    @property
    def kept_bytes(self) -> int:
        return self.num_bytes - self._trimmed_bytes

    @property
    def first_seq(self) -> int:
        """The oldest seq that is still logged, or the one to come."""
        return self._entries[0].seq if self._entries else self.seq + 1

    def add(self, event: StreamEvent, num_bytes: int) -> None:
        self.seq += 1
        self.num_bytes += num_bytes
        self._entries.append(Entry(self.seq, event, self.num_bytes))

    def after(self, seq: int) -> list[Entry]:
        """The entries with a greater seq, oldest first."""
        num_unread = self.seq - seq
        return self._entries[-num_unread:] if num_unread > 0 else []

    def bytes_through(self, seq: int) -> int:
        """All bytes ever logged up to and with `seq`."""
        place = seq - self.first_seq
        return self._entries[place].end_bytes if 0 <= place < len(self._entries) else self._trimmed_bytes

    def trim_through(self, num_bytes: int) -> None:
        """Drop the entries that lie in the first so many bytes ever logged."""
        self._trim_to(bisect_right(self._entries, num_bytes, key=lambda entry: entry.end_bytes))

    def clear(self) -> None:
        self._trim_to(len(self._entries))

    def _trim_to(self, place: int) -> None:
        if place:
            self._trimmed_bytes = self._entries[place - 1].end_bytes
            del self._entries[:place]
