"""`/collaborate/{doc_id}/yjs`: Yjs clients on the text that others write by operations."""

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from pycrdt import Awareness, Doc, Text

from service.documents.operations import Delete, Insert
from service.documents.yjs_wire import (
    Step1,
    awareness_frame,
    read_frame,
    step1_frame,
    update_frame,
)
from tests.collaborators import Party, Writer, YjsClient
from tests.contract.conftest import ALICE
from tests.service_process import ServiceProcess, bearer
from tests.websocket import TIMEOUT_S, closed_with

NUM_CHANGES = 30


async def test_both_kinds_edit_one_text(party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    await ann.change(Insert(0, "a😀b"))
    await ann.hear()
    yjs = await YjsClient.join(party, f"{url}/yjs")
    assert yjs.text == "a😀b"
    joined = await ann.hear()
    assert joined["type"] == "user_joined"
    await yjs.insert(2, "🦊")
    told = await ann.hear()
    assert (told["operation"], told["version"]) == ({"type": "insert", "position": 2, "text": "🦊"}, 2)
    assert told["author"] == joined["session_id"]
    await ann.change(Delete(1, 2))
    await yjs.hear_until_text("ab")
    other = await YjsClient.join(party, f"{url}/yjs")
    await other.insert(2, "!")
    await yjs.hear_until_text("ab!")
    await ann.catch_up(4)
    assert ann.text == "ab!"
    await yjs.ws.close()
    assert await ann.hear_until("user_left") == {"type": "user_left", "session_id": joined["session_id"]}


async def test_both_kinds_agree_whatever_the_delays(party: Party, url: str) -> None:
    writers = [await Writer.join(party, url) for _ in range(2)]
    editors = [await YjsClient.join(party, f"{url}/yjs") for _ in range(2)]
    inserted: set[str] = set()

    async def work(who: int, client: Writer | YjsClient) -> None:
        chance = Random(who)
        for number in range(NUM_CHANGES):
            character, place = (
                chr(0x1F300 + who * NUM_CHANGES + number),
                chance.randrange(len(client.text) + 1),
            )
            inserted.add(character)
            if isinstance(client, Writer):
                await client.change(Insert(place, character))
            else:
                await client.insert(place, character)
            for _ in range(chance.randrange(3) * (number > 2)):
                await client.hear()

    async def finish(client: Writer | YjsClient) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while set(client.text) != inserted:
                await client.hear()

    everyone: list[Writer | YjsClient] = [*writers, *editors]
    await asyncio.gather(*(work(who, client) for who, client in enumerate(everyone)))
    await asyncio.gather(*(finish(client) for client in everyone))
    late = await Writer.join(party, url)
    for client in everyone:
        assert client.text == late.text
    assert len(late.text) == 4 * NUM_CHANGES


async def test_who_comes_back_brings_what_he_did_alone(party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    yjs = await YjsClient.join(party, f"{url}/yjs")
    await yjs.insert(0, "one ")
    await ann.hear_until("operation")
    await yjs.ws.close()
    yjs.shared += "three"
    await ann.change(Insert(4, "two "))
    await ann.hear_until("ack")
    again = await YjsClient.join(party, f"{url}/yjs", yjs.doc)
    assert again.text in ("one two three", "one threetwo ")
    await ann.hear_until("operation")
    assert ann.text == again.text


async def test_the_texts_name_may_be_given(party: Party, url: str) -> None:
    doc: Doc[Text] = Doc()
    doc["quill"] = Text("hello")
    await YjsClient.join(party, f"{url}/yjs?text=quill", doc)
    async with asyncio.timeout(TIMEOUT_S):
        ann = await Writer.join(party, url)
        while ann.text != "hello":
            await ann.hear()
    await YjsClient.join(party, f"{url}/yjs")
    other = await party.ws_connect(f"{url}/yjs?text=monaco")
    assert await closed_with(other) == 4409
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await party.ws_connect(f"{url}/yjs?text={'x' * 200}")


def aware(doc: Doc[Text], state: Any) -> bytes:
    awareness = Awareness(doc)
    awareness.set_local_state(state)
    return awareness_frame(awareness.encode_awareness_update([doc.client_id]))


async def test_awareness_is_passed_on_and_goes_with_its_socket(party: Party, url: str) -> None:
    first = await YjsClient.join(party, f"{url}/yjs")
    second = await YjsClient.join(party, f"{url}/yjs")
    state = {"user": {"name": "Zoë 🦊"}}
    known = Awareness(Doc())

    async def hear(client: YjsClient) -> Any:
        while not client.awareness:
            await client.hear()
        known.apply_awareness_update(client.awareness.pop(), "test")
        return known.states.get(first.doc.client_id)

    await first.ws.send_bytes(aware(first.doc, state))
    assert await hear(second) == state
    third = await YjsClient.join(party, f"{url}/yjs")
    assert json.dumps(state) in json.dumps(await hear(third))
    await second.ws.send_bytes(b"\x03")
    assert await hear(second) == state
    await first.ws.close()
    assert await hear(second) is None
    fourth = await party.ws_connect(f"{url}/yjs")
    assert isinstance(read_frame((await fourth.receive(TIMEOUT_S)).data), Step1)
    await fourth.send_bytes(b"\x03")
    await fourth.send_bytes(step1_frame(b"\x00"))
    assert (await fourth.receive(TIMEOUT_S)).data[:2] == b"\x00\x01"


BAD: dict[str, str | bytes] = {
    "nothing": b"",
    "cut": b"\x00\x02\x05ab",
    "garbage": update_frame(b"\xff" * 50),
    "bad vector": step1_frame(b"\xff\xff"),
    "bad awareness": awareness_frame(b"\x05"),
    "text": "{}",
    "long text": b"",
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_taken_closes_its_socket_alone(party: Party, url: str, name: str) -> None:
    ann = await Writer.join(party, url)
    good, bad = [await YjsClient.join(party, f"{url}/yjs") for _ in range(2)]
    await good.insert(0, "abc")
    frame = BAD[name]
    if name == "long text":
        bad.shared += "x" * 400_001
        frame = update_frame(bad.doc.get_update())
    if isinstance(frame, str):
        await bad.ws.send_str(frame)
    else:
        await bad.ws.send_bytes(frame)
    assert await closed_with(bad.ws) == 4422
    await good.insert(3, "d")
    await ann.catch_up(2)
    assert ann.text == "abcd"
    # What means nothing here is passed over.
    for passed in (b"\x02\x00\x01x", b"\x09", b"\x00\x09\x01x"):
        await good.ws.send_bytes(passed)
    await good.insert(0, "_")
    await ann.catch_up(3)
    assert ann.text == "_abcd"


async def test_a_flood_is_slowed_without_a_word(tmp_path: Path) -> None:
    """y-websocket fails on what is no binary frame; nothing is lost."""
    flags = [
        "--model",
        "echo",
        "--set",
        "model_defaults.engine=echo",
        "--set",
        "sockets.max_messages_per_s=20",
    ]
    with ServiceProcess(tmp_path, *flags) as service:
        async with Party() as party:
            yjs, other = [await YjsClient.join(party, f"{service.url}/collaborate/d/yjs") for _ in range(2)]
            for number in range(30):
                await yjs.insert(number, "x")
            await other.hear_until_text("x" * 30)
            await yjs.ws.send_bytes(b"\x00\x00\x01\x00")
            num_answers = yjs.num_answers
            while yjs.num_answers == num_answers:
                await yjs.hear()
        counts = (await asyncio.to_thread(service.metrics))["sockets"]["/collaborate/{doc_id}/yjs"]
        assert counts["num_throttled"] >= 1
        await asyncio.to_thread(service.check_serves)
        assert await asyncio.to_thread(service.stop) == 0


async def test_it_needs_the_key(strict_service: ServiceProcess) -> None:
    url = f"{strict_service.url}/collaborate/keyed/yjs"
    async with Party() as party:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await party.ws_connect(url)
        assert refused.value.status == 401
    async with Party(bearer(ALICE)) as party:
        assert (await YjsClient.join(party, url)).text == ""
