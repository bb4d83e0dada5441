"""What was said in each chat session, so that the next message is answered in its context.

Kept in this process's memory, bounded in number, length and time; a restart forgets it.
"""

import time
from collections import OrderedDict

from config.settings import ChatSettings
from workers.messages import ChatMessage

SessionKey = tuple[str, str]


class Sessions:
    """Histories by (caller's key, session id): a session belongs to the key that began it."""

    def __init__(self, settings: ChatSettings) -> None:
        self._settings = settings
        self._histories: OrderedDict[SessionKey, tuple[float, list[ChatMessage]]] = OrderedDict()

    def history(self, key: str, session_id: str) -> list[ChatMessage]:
        """The session's messages so far, oldest first; empty for a new or expired one."""
        self._expire()
        return list(self._histories.get((key, session_id), (0.0, []))[1])

    def remember(self, key: str, session_id: str, question: str, answer: str) -> None:
        """Add one exchange; the oldest ones go when the session or the store is full."""
        history = [
            *self.history(key, session_id),
            ChatMessage("user", question),
            ChatMessage("assistant", answer),
        ]
        while (
            len(history) > 2 and sum(len(message.content) for message in history) > self._settings.max_chars
        ):
            del history[:2]
        self._histories[key, session_id] = (time.monotonic(), history)
        self._histories.move_to_end((key, session_id))
        if len(self._histories) > self._settings.max_sessions:
            self._histories.popitem(last=False)

    def _expire(self) -> None:
        horizon = time.monotonic() - self._settings.session_ttl_s
        while self._histories and next(iter(self._histories.values()))[0] < horizon:
            self._histories.popitem(last=False)
