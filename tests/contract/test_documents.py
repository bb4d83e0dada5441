"""Documents by id: list, read, forget. Only the caller's own, and not while somebody is in one."""

import aiohttp
import httpx
import pytest

from service.documents.operations import Insert
from tests.collaborators import Party, Writer
from tests.contract.conftest import ALICE, BOB
from tests.service_process import ServiceProcess, bearer


async def write(service: ServiceProcess, doc_id: str, text: str) -> None:
    """Make the document, and leave it."""
    async with Party() as party:
        writer = await Writer.join(party, f"{service.url}/collaborate/{doc_id}")
        await writer.change(Insert(0, text))
        await writer.hear_until("ack")


def error_code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


async def test_what_was_written_is_listed_read_and_forgotten(service: ServiceProcess) -> None:
    await write(service, "essay", "Once 🦊")
    listed = service.http.get("/documents").json()["documents"]
    assert "essay" in [each["doc_id"] for each in listed]
    assert listed == sorted(listed, key=lambda each: -each["updated"])
    assert service.http.get("/documents?limit=1").json()["documents"] == listed[:1]
    found = service.http.get("/documents/essay").json()
    assert found == {"doc_id": "essay", "content": "Once 🦊", "version": 1}
    service.wait_for_metrics(lambda m: m["open_documents"] == 0)
    assert service.http.delete("/documents/essay").json() == {"status": "deleted"}
    for method in ("GET", "DELETE"):
        answer = service.http.request(method, "/documents/essay")
        assert (answer.status_code, error_code(answer)) == (404, "document_not_found")


async def test_one_that_is_open_is_not_deleted(service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/collaborate/open"):
        answer = service.http.delete("/documents/open")
        assert (answer.status_code, error_code(answer)) == (409, "document_open")


async def test_others_have_their_own(strict_service: ServiceProcess) -> None:
    async with (
        aiohttp.ClientSession(headers=bearer(ALICE)) as session,
        session.ws_connect(f"{strict_service.url}/collaborate/secret") as ws,
    ):
        await ws.receive_json()
        await ws.send_json({"type": "operation", "operation": {"type": "insert", "position": 0, "text": "x"}})
        assert (await ws.receive_json())["type"] == "ack"
        assert strict_service.http.get("/documents/secret", headers=bearer(ALICE)).json()["content"] == "x"
        assert strict_service.http.get("/documents/secret", headers=bearer(BOB)).status_code == 404
        assert strict_service.http.get("/documents", headers=bearer(BOB)).json() == {"documents": []}


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001"])
def test_a_bad_limit_is_refused(service: ServiceProcess, query: str) -> None:
    answer = service.http.get(f"/documents?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "limit")
