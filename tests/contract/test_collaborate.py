"""`/collaborate/{doc_id}`: several write in one text by operations."""

import asyncio
import json
from random import Random
from typing import Any

import aiohttp
import pytest
from msgspec import convert, to_builtins

from service.documents.operations import Compound, Delete, Insert, Operation, read
from tests.collaborators import Party, Writer
from tests.contract.conftest import ALICE, BOB
from tests.service_process import ServiceProcess, bearer
from tests.websocket import TIMEOUT_S, closed_with, error_of, receive

NUM_WRITERS = 4
NUM_CHANGES = 50


async def test_who_comes_edits_and_leaves_is_heard_by_the_others(party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    assert ann.state | {"doc_id": "", "session_id": ""} == {
        "type": "document_state",
        "doc_id": "",
        "content": "",
        "version": 0,
        "session_id": "",
        "cursors": {},
    }
    ben = await Writer.join(party, url)
    assert await ann.hear() == {"type": "user_joined", "session_id": ben.id}
    await ann.send(type="operation", operation={"type": "insert", "position": 0, "text": "a😀b"}, version=0)
    assert await receive(ann.ws) == {"type": "ack", "version": 1}
    assert await ben.hear() == {
        "type": "operation",
        "operation": {"type": "insert", "position": 0, "text": "a😀b"},
        "version": 1,
        "author": ann.id,
    }
    await ann.send(type="cursor_position", position=2)
    expected = {"type": "cursor_update", "session_id": ann.id, "position": 2, "version": 1}
    assert await ben.hear() == expected
    # Made at version 0, it is transformed; its author is told to what.
    delete = {"type": "delete", "start": 0, "length": 0}
    await ben.send(
        type="operation", operation=delete | {"type": "insert", "position": 0, "text": "x"}, version=0
    )
    assert await receive(ben.ws) == {
        "type": "ack",
        "version": 2,
        "operation": {"type": "insert", "position": 3, "text": "x"},
    }
    carl = await Writer.join(party, url)
    assert (carl.text, carl.state["version"], carl.state["cursors"]) == ("a😀bx", 2, {ann.id: 2})
    assert await ben.hear() == {"type": "user_joined", "session_id": carl.id}
    await ann.ws.close()
    assert await ben.hear() == {"type": "user_left", "session_id": ann.id}
    assert (await Writer.join(party, url)).state["cursors"] == {}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"type": "nope"}, "type"),
    ({"type": "operation"}, "operation"),
    ({"type": "operation", "operation": {"type": "replace"}}, "operation.type"),
    (
        {"type": "operation", "operation": {"type": "insert", "position": 4, "text": "x"}},
        "operation.position",
    ),
    (
        {"type": "operation", "operation": {"type": "insert", "position": -1, "text": "x"}},
        "operation.position",
    ),
    (
        {"type": "operation", "operation": {"type": "insert", "position": 1.5, "text": "x"}},
        "operation.position",
    ),
    (
        {"type": "operation", "operation": {"type": "insert", "position": 2**70, "text": ""}},
        "operation.position",
    ),
    ({"type": "operation", "operation": {"type": "insert", "position": 0, "text": 7}}, "operation.text"),
    ({"type": "operation", "operation": {"type": "delete", "start": 2, "length": 2}}, "operation.length"),
    ({"type": "operation", "operation": {"type": "delete", "start": 0, "length": -1}}, "operation.length"),
    (
        {"type": "operation", "operation": {"type": "insert", "position": 0, "text": ""}, "version": -1},
        "version",
    ),
    (
        {
            "type": "operation",
            "operation": {"type": "insert", "position": 0, "text": ""},
            "operation_id": "x y",
        },
        "operation_id",
    ),
    (
        {"type": "operation", "operation": {"type": "insert", "position": 0, "text": "x" * 400_001}},
        "operation",
    ),
    ({"type": "cursor_position", "position": -1}, "position"),
    ({"type": "assist", "position": 0}, "prompt"),
    ({"type": "assist", "prompt": "x", "position": 0, "max_tokens": 0}, "max_tokens"),
    ({"type": "assist", "prompt": "x", "position": 0, "model": "nope"}, "model"),
]


async def test_what_is_wrong_is_told_and_the_document_untouched(party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    await ann.change(Insert(0, "abc"))
    await ann.hear()
    for message, param in BAD:
        await ann.send(**message)
        error = error_of(await receive(ann.ws))
        assert error["param"] == param, (message, error)
    half = '{"type": "operation", "operation": {"type": "insert", "position": 0, "text": "\\ud83d"}}'
    for body in (half, "{", "[]", "null", '"x"', '{"type": 1}'):
        await ann.ws.send_str(body)
        error_of(await receive(ann.ws))
    await ann.ws.send_bytes(b"{}")
    assert "text frame" in error_of(await receive(ann.ws))["message"]
    await ann.send(type="cancel")
    assert error_of(await receive(ann.ws))["code"] == "not_running"
    await ann.change(Compound([Delete(0, 1), Insert(2, "d")]))
    assert await ann.hear() == {"type": "ack", "version": 2}
    assert (await Writer.join(party, url)).text == "bcd"


async def test_an_operation_sent_again_is_made_once(party: Party, url: str) -> None:
    ann, ben = await Writer.join(party, url), await Writer.join(party, url)
    message: dict[str, Any] = {
        "type": "operation",
        "operation": {"type": "insert", "position": 0, "text": "x"},
        "version": 0,
        "operation_id": "5a1f-1",
    }
    ack = {"type": "ack", "version": 1, "operation_id": "5a1f-1"}
    await ann.send(**message)
    assert (await ann.hear())["type"] == "user_joined"
    assert await receive(ann.ws) == ack
    await ben.hear()
    for writer in (ann, ben):
        await writer.send(**message)
        assert await receive(writer.ws) == ack
    # An error tells which one it was, and so does a fresh state.
    await ann.send(
        **message | {"operation_id": "5a1f-2", "operation": {"type": "delete", "start": 9, "length": 1}}
    )
    refused = await receive(ann.ws)
    assert error_of(refused) and refused["operation_id"] == "5a1f-2"
    await ann.send(**message | {"operation_id": "5a1f-3", "version": 9})
    state = await receive(ann.ws)
    assert (state["type"], state["content"], state["version"]) == ("document_state", "x", 1)
    assert state["operation_id"] == "5a1f-3"


async def test_who_is_too_far_behind_gets_a_fresh_state(party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    for number in range(1_001):
        await ann.send(type="operation", operation={"type": "insert", "position": number, "text": "x"})
    for number in range(1_001):
        assert await receive(ann.ws) == {"type": "ack", "version": number + 1}
    await ann.send(type="operation", operation={"type": "insert", "position": 0, "text": "y"}, version=0)
    state = await receive(ann.ws)
    assert (state["content"], state["version"]) == ("x" * 1_001, 1_001)
    await ann.send(type="operation", operation={"type": "insert", "position": 0, "text": "y"}, version=1)
    assert (await receive(ann.ws))["version"] == 1_002
    await ann.send(type="cursor_position", position=5)
    await ann.send(type="cursor_position", position=0, version=0)
    state = await receive(ann.ws)
    assert (state["type"], state["cursors"]) == ("document_state", {})


@pytest.mark.parametrize("doc_id", ["%00", "%0A", "%20", "x" * 129])
async def test_a_bad_id_is_refused_before_the_upgrade(
    service: ServiceProcess, party: Party, doc_id: str
) -> None:
    for suffix in ("", "/yjs"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await party.ws_connect(f"{service.url}/collaborate/{doc_id}{suffix}")
        assert refused.value.status in (400, 404, 422)


async def test_any_other_id_is_a_document(service: ServiceProcess, party: Party) -> None:
    for doc_id in ("%F0%9F%A6%8A%20notes", "a.b-c_d~e", "x" * 128):
        writer = await Writer.join(party, f"{service.url}/collaborate/{doc_id}")
        assert len(writer.state["doc_id"]) in (7, 9, 128)
        await writer.ws.close()


async def test_a_document_is_its_keys(strict_service: ServiceProcess) -> None:
    url = f"{strict_service.url}/collaborate/mine"
    async with Party() as party:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await party.ws_connect(url)
        assert refused.value.status == 401
    async with Party(bearer(ALICE)) as party:
        ann = await Writer.join(party, url)
        await ann.change(Insert(0, "secret"))
        await ann.hear()
        async with Party(bearer(BOB)) as other:
            assert (await Writer.join(other, url)).text == ""
        ben = await Writer.join(party, url)
        assert ben.text == "secret"


async def test_writers_with_delays_agree(party: Party, url: str) -> None:
    writers = [await Writer.join(party, url) for _ in range(NUM_WRITERS)]
    inserted: set[str] = set()

    async def write(writer: Writer, chance: Random, first: int) -> None:
        for number in range(NUM_CHANGES):
            character = chr(first + number)
            inserted.add(character)
            await writer.change(Insert(chance.randrange(len(writer.text) + 1), character))
            for _ in range(chance.randrange(4)):
                if writer.editor.is_pending:
                    await writer.hear()

    await asyncio.gather(
        *(write(writer, Random(n), 0x4E00 + n * NUM_CHANGES) for n, writer in enumerate(writers))
    )
    while any(writer.editor.is_pending for writer in writers):
        for writer in writers:
            if writer.editor.is_pending:
                await writer.hear()
    version = max(writer.editor.version for writer in writers)
    for writer in writers:
        await writer.catch_up(version)
    late = await Writer.join(party, url)
    assert {writer.text for writer in writers} == {late.text}
    assert sorted(late.text) == sorted(inserted)


async def test_clients_that_wait_for_each_ack_need_no_transformation(party: Party, url: str) -> None:
    sockets = [await party.ws_connect(url) for _ in range(3)]
    texts: list[str] = []

    async def write(who: int, ws: aiohttp.ClientWebSocketResponse) -> None:
        chance, state = Random(who), await receive(ws)
        text, version = state["content"], state["version"]
        for number in range(30):
            own: Operation = Insert(chance.randrange(len(text) + 1), f"{who}-{number} ")
            if len(text) > 8 and chance.random() < 0.3:
                own = Delete(chance.randrange(len(text) - 8), 4)
            await ws.send_json({"type": "operation", "operation": to_builtins(own), "version": version})
            is_acknowledged = False
            while not is_acknowledged:
                told = await receive(ws)
                is_acknowledged = told["type"] == "ack"
                if told["type"] in ("ack", "operation"):
                    operation = convert(told.get("operation", to_builtins(own)), Operation)
                    text, version = read(operation, len(text)).apply(text), told["version"]
        while version < 90:
            told = await receive(ws)
            if told["type"] == "operation":
                operation = convert(told["operation"], Operation)
                text, version = read(operation, len(text)).apply(text), told["version"]
        texts.append(text)

    await asyncio.gather(*(write(who, ws) for who, ws in enumerate(sockets)))
    assert texts == [(await Writer.join(party, url)).text] * 3


async def test_a_large_message_closes_the_socket(party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    await ann.ws.send_str(json.dumps({"type": "operation", "x": "y" * 1_100_000}))
    async with asyncio.timeout(TIMEOUT_S):
        assert await closed_with(ann.ws) == 1009


def counts(service: ServiceProcess) -> Any:
    return service.wait_for_metrics(lambda metrics: not metrics["open_documents"])


async def test_a_document_closes_with_the_last_who_leaves(
    service: ServiceProcess, party: Party, url: str
) -> None:
    ann = await Writer.join(party, url)
    await ann.change(Insert(0, "kept"))
    await ann.hear()
    assert service.metrics()["open_documents"] >= 1
    await ann.ws.close()
    assert counts(service)
    assert (await Writer.join(party, url)).state["version"] == 1
