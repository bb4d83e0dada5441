"""Chat histories: bounded, their key's own, and made of answers that were begun."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from config.command_line import load
from service.chat.sessions import Sessions
from service.handlers.text import _remember_at_end
from service.keys import SESSIONS
from tests.service.fakes import JOB_ID, delta, finished, stream_of
from workers.messages import Failed, Usage


def sessions_of(**values: Any) -> Sessions:
    return Sessions(msgspec.structs.replace(load([], {}).chat, **values))


def contents(sessions: Sessions, key: str = "anyone", session_id: str = "s") -> list[str]:
    return [message.content for message in sessions.history(key, session_id)]


def test_exchanges_in_order_for_their_own_key() -> None:
    sessions = sessions_of()
    sessions.remember("a", "s", "q1", "a1")
    sessions.remember("a", "s", "q2", "a2")
    assert [(m.role, m.content) for m in sessions.history("a", "s")] == [
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "q2"),
        ("assistant", "a2"),
    ]
    assert sessions.history("b", "s") == sessions.history("a", "t") == []


def test_the_oldest_exchanges_and_sessions_go_first() -> None:
    sessions = sessions_of(max_chars=10, max_sessions=2)
    for number in range(3):
        sessions.remember("a", "s", f"q{number}..", f"a{number}")
    assert contents(sessions, "a") == ["q2..", "a2"]
    for session_id in ("t", "u"):
        sessions.remember("a", session_id, "q", "a")
    assert contents(sessions, "a", "s") == []
    assert contents(sessions, "a", "t") == contents(sessions, "a", "u") == ["q", "a"]


def test_unused_sessions_are_forgotten() -> None:
    sessions = sessions_of(session_ttl_s=1e-9)
    sessions.remember("a", "s", "q", "a")
    assert contents(sessions, "a") == []


@pytest.mark.parametrize(
    ("events", "history"),
    [
        ([delta("an "), delta("answer"), finished()], ["q", "an answer"]),
        ([delta("begun"), Failed(JOB_ID, "worker_lost", "gone", None, Usage())], ["q", "begun"]),
        ([Failed(JOB_ID, "context_length_exceeded", "too long", "prompt", Usage())], []),
    ],
)
async def test_only_answers_that_were_begun_are_remembered(events: list[Any], history: list[str]) -> None:
    """A question that was too long would make every later one too long."""
    sessions, stream = sessions_of(), stream_of()
    request: Any = SimpleNamespace(app={SESSIONS: sessions})
    _remember_at_end(request, "s", "q", stream)
    for event in events:
        stream.push(event)
    assert contents(sessions) == history
