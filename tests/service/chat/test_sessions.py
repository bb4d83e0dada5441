"""Chat histories: bounded, their key's own, and made of answers that were begun."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from config.command_line import load
from service.chat.remember import remember_at_end
from service.chat.sessions import Sessions
from service.keys import SESSIONS
from service.params.native import ChatParams
from service.stores.memory import MemoryStore
from tests.service.fakes import JOB_ID, delta, finished, stream_of
from workers.messages import ChatMessage, Failed, Usage

NOW = 1_000.0


def sessions_of(now: list[float] | None = None, **values: Any) -> Sessions:
    settings, times = load([], {}), now or [NOW]

    def clock() -> float:
        return times[0]

    chat = msgspec.structs.replace(settings.chat, **values)
    return Sessions(chat, MemoryStore(settings.store, clock), clock)


async def tell(sessions: Sessions, key: str, session_id: str, question: str, answer: str) -> None:
    exchange = ChatMessage("user", question), ChatMessage("assistant", answer)
    await sessions.remember(key, session_id, *exchange)


async def contents(sessions: Sessions, key: str = "anyone", session_id: str = "s") -> list[str]:
    return [message.content for message in await sessions.history(key, session_id)]


async def test_exchanges_in_order_for_their_own_key() -> None:
    sessions = sessions_of()
    await tell(sessions, "a", "s", "q1", "a1")
    await tell(sessions, "a", "s", "q2", "a2")
    assert [(m.role, m.content) for m in await sessions.history("a", "s")] == [
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "q2"),
        ("assistant", "a2"),
    ]
    assert await sessions.history("b", "s") == await sessions.history("a", "t") == []


async def test_the_oldest_exchanges_and_sessions_go_first() -> None:
    sessions = sessions_of(max_chars=10, max_sessions=2)
    await tell(sessions, "b", "s", "q", "a")
    for number in range(3):
        await tell(sessions, "a", "s", f"q{number}..", f"a{number}")
    assert await contents(sessions, "a") == ["q2..", "a2"]
    for session_id in ("t", "u"):
        await tell(sessions, "a", session_id, "q", "a")
    assert [session.id for session in await sessions.list("a", 10)] == ["u", "t"]
    assert await contents(sessions, "a", "s") == []
    assert await contents(sessions, "b", "s") == ["q", "a"]


async def test_the_system_prompt_stays() -> None:
    sessions = sessions_of(max_chars=10)
    await sessions.remember("a", "s", ChatMessage("system", "kind"))
    for number in range(3):
        await tell(sessions, "a", "s", f"q{number}", f"a{number}")
    assert await contents(sessions, "a") == ["kind", "q2", "a2"]


async def test_unused_sessions_are_forgotten() -> None:
    now = [NOW]
    sessions = sessions_of(now, session_ttl_s=10.0)
    await tell(sessions, "a", "s", "q", "a")
    now[0] += 9
    await tell(sessions, "a", "s", "q", "a")
    session = await sessions.get("a", "s")
    assert session and (session.created_at, session.updated_at) == (NOW, NOW + 9)
    now[0] += 10
    assert await sessions.get("a", "s") is None
    assert await sessions.list("a", 10) == []


async def test_only_the_owner_deletes() -> None:
    sessions = sessions_of()
    await tell(sessions, "a", "s", "q", "a")
    assert not await sessions.delete("b", "s")
    assert await sessions.delete("a", "s")
    assert not await sessions.delete("a", "s")
    assert await contents(sessions, "a") == []


async def test_who_asks_after_an_answer_hears_it() -> None:
    """However many answers are still being written down, and in their order."""
    sessions = sessions_of()
    for number in range(20):
        sessions.remember_soon(sessions.place("a", "s"), ChatMessage("user", str(number)))
    assert await contents(sessions, "a") == [str(number) for number in range(20)]
    sessions.remember_soon(sessions.place("a", "t"), ChatMessage("user", "x"))
    await sessions.settle()
    assert not sessions._remembering and not sessions._locks


async def test_more_than_the_store_takes_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    sessions = sessions_of(max_chars=1_000_000_000)
    sessions.remember_soon(sessions.place("a", "s"), ChatMessage("user", "x" * 3_000_000))
    await sessions.settle()
    assert [record.message for record in caplog.records] == ["not remembered"]
    assert await contents(sessions, "a") == []


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
    remember_at_end(request, ChatParams("q", session_id="s"), stream)
    for event in events:
        stream.push(event)
    await sessions.settle()
    assert await contents(sessions) == history
