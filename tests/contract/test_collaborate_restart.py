"""Documents in a file: a service that starts again has them, and its clients go on."""

import asyncio
import signal
from pathlib import Path

from pycrdt import Doc, Text

from service.documents.operations import Insert
from tests.collaborators import Party, Writer, YjsClient
from tests.service_process import ServiceProcess
from tests.websocket import TIMEOUT_S, closed_with, receive


def sqlite_service(folder: Path) -> ServiceProcess:
    flags = ["--model", "echo", "--set", "model_defaults.engine=echo", "--set", "store.kind=sqlite"]
    flags += ["--set", f"store.path={folder}/store.db", "--set", "store.flush_interval_s=0.01"]
    return ServiceProcess(folder, *flags, "--set", "documents.save_interval_s=0.01")


async def settled(service: ServiceProcess) -> None:
    """All that was written is in the file."""
    await asyncio.to_thread(
        service.wait_for_metrics, lambda m: not (m["open_documents"] or m["store"]["num_unsaved_bytes"])
    )


async def test_documents_survive_a_restart(tmp_path: Path) -> None:
    """Told to come back later, clients do: their operations are not made twice, their text is not doubled."""
    service = sqlite_service(tmp_path)
    doc: Doc[Text] = Doc()
    with service:
        async with Party() as party:
            ann = await Writer.join(party, f"{service.url}/collaborate/notes")
            yjs = await YjsClient.join(party, f"{service.url}/collaborate/notes/yjs", doc)
            await ann.change(Insert(0, "one "))
            await yjs.hear_until_text("one ")
            await yjs.insert(4, "two ")
            await ann.hear_until("operation")
            last = {"type": "insert", "position": 8, "text": "three "}
            sent = {"type": "operation", "operation": last, "version": 2, "operation_id": "last"}
            await ann.send(**sent)
            ack = {"type": "ack", "version": 3, "operation_id": "last"}
            assert await receive(ann.ws) == ack
            leaving = asyncio.create_task(asyncio.to_thread(service.stop))
            assert await closed_with(ann.ws) == await closed_with(yjs.ws) == 1012
            assert await leaving == 0
        # Made while there was no service.
        doc.get("text", type=Text).insert(0, "zero ")
    with service:
        async with Party() as party:
            ann = await Writer.join(party, f"{service.url}/collaborate/notes")
            assert (ann.text, ann.state["version"]) == ("one two three ", 3)
            await ann.send(**sent)
            assert await receive(ann.ws) == ack
            await ann.send(type="operation", operation=last, version=2)
            assert (await receive(ann.ws))["type"] == "document_state"
            await ann.change(Insert(len(ann.text), "four"))
            await ann.hear_until("ack")
            yjs = await YjsClient.join(party, f"{service.url}/collaborate/notes/yjs", doc)
            assert yjs.text == "zero one two three four"
            await ann.hear_until("operation")
            assert ann.text == yjs.text
        await settled(service)
        await asyncio.to_thread(service.check_serves)
        assert await asyncio.to_thread(service.stop) == 0


async def test_a_kill_does_not_double_a_yjs_clients_text(tmp_path: Path) -> None:
    """What it was told of is in the file before it is told; what it has beyond that it brings back."""
    service = sqlite_service(tmp_path)
    doc: Doc[Text] = Doc()
    with service:
        async with Party() as party:
            ann = await Writer.join(party, f"{service.url}/collaborate/notes")
            await ann.change(Insert(0, "abc"))
            await ann.hear_until("ack")
            yjs = await YjsClient.join(party, f"{service.url}/collaborate/notes/yjs", doc)
            assert yjs.text == "abc"
            await ann.change(Insert(3, "d"))
            await yjs.hear_until_text("abcd")
            service.process.send_signal(signal.SIGKILL)
            await closed_with(yjs.ws)
        await asyncio.to_thread(service.stop)
    with service:
        async with Party() as party:
            ann = await Writer.join(party, f"{service.url}/collaborate/notes")
            assert ann.text in ("abc", "abcd")
            yjs = await YjsClient.join(party, f"{service.url}/collaborate/notes/yjs", doc)
            assert yjs.text == "abcd"
            async with asyncio.timeout(TIMEOUT_S):
                while ann.text != "abcd":
                    await ann.hear()
        await asyncio.to_thread(service.check_serves)
        assert await asyncio.to_thread(service.stop) == 0
