"""The model's text goes in at its cursor, and its writing ends once, whatever ends it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from config.command_line import load
from service.documents.library import Documents
from service.documents.messages import AssistDone, AssistStarted, Message
from service.documents.operations import Delete, Insert
from service.documents.room import DocumentRoom
from service.stores.memory import MemoryStore
from service.talks.assist import Assistant
from tests.service.fakes import JOB_ID, delta, finished, stream_of
from workers.messages import Failed, Usage

SETTINGS = load([], {})


@asynccontextmanager
async def writing(
    content: str, position: int, **limits: Any
) -> AsyncIterator[tuple[DocumentRoom, Assistant]]:
    """An assistant whose cursor stands in a document of that content."""
    documents = Documents(replace(SETTINGS.documents, **limits), MemoryStore(SETTINGS.store))
    async with documents.open("k", "d") as room:
        room.document.submit(Insert(0, content), None, "x")
        room.document.move_cursor("assistant", position, None)
        yield room, Assistant(stream_of(), "assistant", room)
    await documents.settle()


async def test_it_writes_on_where_it_was_whatever_others_do() -> None:
    said: list[Message] = []
    async with writing("[]", 1) as (room, assistant):
        assert isinstance(assistant.started(), AssistStarted)
        for operation in (Insert(0, "😀"), Insert(4, "!"), Delete(2, 1), Insert(0, "x")):
            assistant.take(delta("ab"), said.append)
            room.document.submit(operation, None, "y")
        assistant.take(delta("."), said.append)
        assistant.take(delta(""), said.append)
        assert room.document.content == "x😀[b!ababab.]"
        assert not said
        assistant.take(finished("length", 9), said.append)
        assert not room.document.cursors
    (done,) = said
    assert isinstance(done, AssistDone)
    assert (done.finish_reason, done.usage["completion_tokens"], done.error) == ("length", 9, None)


async def test_a_lost_worker_ends_it_with_the_error() -> None:
    said: list[Message] = []
    async with writing("", 0) as (room, assistant):
        assistant.take(delta("kept"), said.append)
        assistant.take(Failed(JOB_ID, "worker_lost", "gone", None, Usage(3, 1)), said.append)
        assert (room.document.content, room.document.cursors) == ("kept", {})
    (done,) = said
    assert isinstance(done, AssistDone) and done.error
    assert done.error["code"] == "worker_lost"
    assert done.usage["completion_tokens"] == 1


async def test_a_full_document_ends_it_with_the_error() -> None:
    said: list[Message] = []
    async with writing("abc", 3, max_chars=5) as (room, assistant):
        for text in ("de", "f", "g"):
            assistant.take(delta(text), said.append)
        room.document.submit(Delete(0, 5), None, "y")
        # What was under way comes too late, even though there is room now.
        assistant.take(delta("h"), said.append)
        assert not said
        assistant.take(finished("error"), said.append)
        assert room.document.content == ""
    (done,) = said
    assert isinstance(done, AssistDone) and done.error
    assert (done.finish_reason, done.error["code"]) == ("error", "document_too_long")
