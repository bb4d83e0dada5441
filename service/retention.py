"""How much of its log a stream keeps, for readers who are behind and for those who come back."""

from collections.abc import Iterable

from config.settings import StreamSettings
from service.event_log import EventLog


class Retention:
    """Trims one stream's log. `max_log_bytes` stay for who comes back to a resumable one; others keep
    only what joins two readers.

    What nobody has taken stays, and is held against no reader: the job is paused for it, and what comes
    until the worker hears of that was already under way.
    """

    def __init__(self, log: EventLog, settings: StreamSettings, *, is_resumable: bool) -> None:
        self._log = log
        self._max_log_bytes = settings.max_log_bytes
        self._keep_bytes = settings.max_log_bytes if is_resumable else settings.join_unread_bytes
        # Half the kept size at a time: cutting a list's head for each event would be quadratic.
        self._trim_above = self._keep_bytes * 3 // 2
        # How far readers have taken; one who begins at the live end has taken nothing yet. And how far
        # before the latest take, which is held against nobody: it may be larger than a whole log.
        self._taken_bytes = self._outrun_bytes = 0
        # How far the last reader had come when he left.
        self._left_bytes = 0

    def note_take(self) -> None:
        """A reader has taken all that is logged."""
        if self._log.num_bytes > self._taken_bytes:
            self._outrun_bytes, self._taken_bytes = self._taken_bytes, self._log.num_bytes

    def note_leave(self, read_bytes: int) -> None:
        """A reader has gone who had read so far."""
        self._left_bytes = min(read_bytes, self._taken_bytes)

    def trim(self, read_bytes: Iterable[int]) -> None:
        """Drop the oldest entries that all readers have, or one had `max_log_bytes` before his last take.

        `read_bytes`: how far each has read, of one at least.
        """
        if self._log.kept_bytes <= self._trim_above:
            return
        unneeded = min(read_bytes)
        unneeded = max(unneeded, self._outrun_bytes - self._max_log_bytes)
        self._log.trim_through(min(self._log.num_bytes - self._keep_bytes, unneeded))

    def make_room(self) -> None:
        """Let a job go on without a reader, in the place of what the last one has had.

        Half a log of that stays: what he was sent he may not have received.
        """
        if self._log.kept_bytes > self._max_log_bytes:
            self._log.trim_through(self._left_bytes - self._max_log_bytes // 2)
