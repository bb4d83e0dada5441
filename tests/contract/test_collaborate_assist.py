"""`assist`: the model writes in a document while people do."""

import asyncio

from service.documents.operations import Delete, Insert
from tests.collaborators import Party, Writer, YjsClient
from tests.service_process import ServiceProcess
from tests.websocket import TIMEOUT_S, error_of, receive

WORDS = "alpha beta gamma delta "


async def test_everyone_sees_what_the_model_writes(party: Party, url: str) -> None:
    ann, ben = await Writer.join(party, url), await Writer.join(party, url)
    yjs = await YjsClient.join(party, f"{url}/yjs")
    await ann.change(Insert(0, "<>"))
    await ann.send(
        type="assist", prompt=WORDS, position=1, model="echo", max_tokens=100, temperature=0, seed=1
    )
    started = await ann.hear_until("assist_started")
    done = await ann.hear_until("assist_done")
    assert done["assist_id"] == started["assist_id"]
    assert done["finish_reason"] == "stop" and "error" not in done
    assert done["usage"]["completion_tokens"] > 1
    written = f"<{WORDS}>"
    assert ann.text == written
    await ben.catch_up(ann.editor.version)
    assert ben.text == written
    await yjs.hear_until_text(written)
    authors = {told["author"] for told in ben.heard if told["type"] == "operation"}
    assert authors == {ann.id, started["author"]}
    assert not [told for told in ben.heard if told["type"].startswith("assist")]
    # Its cursor has gone with it.
    assert (await Writer.join(party, url)).state["cursors"] == {}


async def test_it_goes_on_at_its_cursor_while_others_type(party: Party, url: str) -> None:
    ann, ben = await Writer.join(party, url), await Writer.join(party, url)
    yjs = await YjsClient.join(party, f"{url}/yjs")
    await ann.change(Insert(0, "[]"))
    await ann.hear_until("ack")
    await ann.send(type="assist", prompt=WORDS * 2, position=1, model="steady")
    await ann.hear_until("operation")
    for number in range(10):
        await ben.catch_up(ben.editor.version + 1)
        await ben.change(Insert(0, str(number)))
        await yjs.hear()
        await yjs.insert(len(yjs.text), "😀")
    done = await ann.hear_until("assist_done")
    assert done["finish_reason"] == "stop"
    late = await Writer.join(party, url)
    expected = f"9876543210[{WORDS * 2}]" + "😀" * 10
    async with asyncio.timeout(TIMEOUT_S):
        while late.text != expected:
            await late.hear()
    for writer in (ann, ben):
        await writer.catch_up(late.editor.version)
    await yjs.hear_until_text(expected)
    assert ann.text == ben.text == expected


async def test_it_is_cancelled_once(service: ServiceProcess, party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    assists = []
    for _ in range(2):
        await ann.send(type="assist", prompt=WORDS * 50, position=0, model="steady", max_tokens=10_000)
        assists.append((await ann.hear_until("assist_started"))["assist_id"])
    await ann.hear_until("operation")
    await ann.send(type="cancel", assist_id=assists[0])
    done = await ann.hear_until("assist_done")
    assert (done["assist_id"], done["finish_reason"]) == (assists[0], "cancelled")
    await ann.send(type="cancel", assist_id=assists[0])
    assert error_of(await ann.hear_until("error"))["code"] == "not_running"
    await ann.send(type="cancel")
    done = await ann.hear_until("assist_done")
    assert (done["assist_id"], done["finish_reason"]) == (assists[1], "cancelled")
    await ann.change(Insert(0, "x"))
    await ann.hear_until("ack")
    assert (await Writer.join(party, url)).text == ann.text
    await ann.send(type="assist", prompt=WORDS * 50, position=0, model="steady", max_tokens=10_000)
    assist_id = (await ann.hear_until("assist_started"))["assist_id"]
    answer = await asyncio.to_thread(service.http.delete, f"/streams/{assist_id}")
    assert answer.json() == {"status": "cancelled"}
    assert (await ann.hear_until("assist_done"))["finish_reason"] == "cancelled"
    assert len([told for told in ann.heard if told["type"] == "assist_done"]) == 3


async def test_it_ends_when_who_asked_leaves(service: ServiceProcess, party: Party, url: str) -> None:
    ann, ben = await Writer.join(party, url), await Writer.join(party, url)
    await ann.send(type="assist", prompt=WORDS * 50, position=0, model="steady", max_tokens=10_000)
    await ben.hear_until("operation")
    await ann.ws.close()
    await ben.hear_until("user_left")
    service.wait_idle()
    assert (await Writer.join(party, url)).state["cursors"] == {}


async def test_it_ends_at_the_documents_limit(party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    await ann.change(Insert(0, "x" * 399_990))
    await ann.hear_until("ack")
    await ann.send(type="assist", prompt=WORDS * 5, position=0, model="steady")
    done = await ann.hear_until("assist_done")
    assert done["finish_reason"] == "error"
    assert done["error"]["code"] == "document_too_long"
    assert ann.text == (await Writer.join(party, url)).text
    assert len(ann.text) <= 400_000
    await ann.change(Delete(0, 1))
    assert (await ann.hear_until("ack"))["type"] == "ack"


async def test_an_assist_that_cannot_begin_leaves_no_cursor(party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    await ann.send(type="assist", prompt="x", position=0, version=9)
    assert (await receive(ann.ws))["type"] == "document_state"
    await ann.send(type="assist", prompt="x", position=0, model="nope")
    assert error_of(await receive(ann.ws))["code"] == "model_not_found"
    assert (await Writer.join(party, url)).state["cursors"] == {}
