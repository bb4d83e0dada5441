"""`/chat/sessions`: the caller's own, whole, until he deletes them; in a file they survive a restart."""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.command_line import load
from service.chat.sessions import Sessions
from service.stores.sqlite import SqliteStore
from tests import sse
from tests.contract.conftest import ALICE, BOB
from tests.service_process import ServiceProcess, bearer
from workers.messages import ChatMessage


def say(service: ServiceProcess, message: str, session_id: str, key: str | None = None) -> None:
    body = {"message": message, "session_id": session_id}
    assert service.http.post("/chat/stream-simple", json=body, headers=bearer(key)).text == message


def get(service: ServiceProcess, path: str = "", key: str | None = None) -> httpx.Response:
    return service.http.get(f"/chat/sessions{path}", headers=bearer(key))


def messages(service: ServiceProcess, session_id: str, key: str | None = None) -> list[dict[str, str]]:
    found: list[dict[str, str]] = get(service, f"/{session_id}", key).raise_for_status().json()["messages"]
    return found


def exchange(*texts: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for text in texts for role in ("user", "assistant")]


def test_a_session_is_listed_read_and_deleted(service: ServiceProcess) -> None:
    began = time.time()
    for text in ("Grüße 🦊", "two"):
        say(service, text, "read me")
    say(service, "x", "later")
    listed = get(service).json()["sessions"]
    ids = [session["session_id"] for session in listed]
    assert ids.index("later") < ids.index("read me")
    assert len(get(service, "?limit=1").json()["sessions"]) == 1
    session: dict[str, Any] = get(service, "/read%20me").json()
    assert session == listed[ids.index("read me")] | {"messages": exchange("Grüße 🦊", "two")}
    assert session["num_messages"] == 4
    assert began - 1 < session["created"] < session["updated"] < time.time() + 1
    assert service.http.delete("/chat/sessions/read%20me").json() == {"status": "deleted"}
    for answer in (get(service, "/read%20me"), service.http.delete("/chat/sessions/read%20me")):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (404, "session_not_found", "session_id")
        assert "read me" in error["message"]


@pytest.mark.parametrize("session_id", ["a/b", "../x?y#z", "ü 🦊", "%2F"])
def test_any_id_can_be_asked_for(service: ServiceProcess, session_id: str) -> None:
    say(service, "x", session_id)
    quoted = "".join(f"%{byte:02X}" for byte in session_id.encode())
    assert get(service, f"/{quoted}").json()["session_id"] == session_id
    assert service.http.delete(f"/chat/sessions/{quoted}").status_code == 200


@pytest.mark.parametrize("session_id", ["nope", "%FF", "%00", "x" * 1_000])
def test_unknown_sessions_are_404(service: ServiceProcess, session_id: str) -> None:
    assert get(service, f"/{session_id}").status_code == 404
    assert service.http.delete(f"/chat/sessions/{session_id}").status_code == 404


@pytest.mark.parametrize("limit", ["0", "1001", "x", "1.5"])
def test_a_bad_limit_is_named(service: ServiceProcess, limit: str) -> None:
    answer = get(service, f"?limit={limit}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "limit")


def test_a_session_is_its_keys(strict_service: ServiceProcess) -> None:
    service = strict_service
    say(service, "secret", "mine", ALICE)
    assert get(service).status_code == 401
    assert get(service, "/mine", BOB).status_code == 404
    assert service.http.delete("/chat/sessions/mine", headers=bearer(BOB)).status_code == 404
    assert get(service, key=BOB).json() == {"sessions": []}
    say(service, "other", "mine", BOB)
    assert messages(service, "mine", ALICE) == exchange("secret")
    assert messages(service, "mine", BOB) == exchange("other")


def test_a_next_message_finds_the_answer_before_it(service: ServiceProcess) -> None:
    texts = [f"m{number}" for number in range(30)]
    for text in texts:
        say(service, text, "quick")
    assert messages(service, "quick") == exchange(*texts)


def test_openapi_and_metrics_tell_of_them(service: ServiceProcess) -> None:
    paths = service.http.get("/openapi.json").json()["paths"]
    assert list(paths["/chat/sessions"]["get"]["parameters"][0]) == ["name", "in", "required", "schema"]
    assert set(paths["/chat/sessions/{session_id}"]) == {"get", "delete"}
    say(service, "x", "counted")
    assert service.metrics()["store"]["num_entries"] >= 1
    text = service.http.get("/metrics", headers={"Accept": "text/plain"}).text
    assert "sluice_store_bytes " in text and "sluice_store_unsaved_bytes 0.0" in text


def test_sessions_survive_a_restart(tmp_path: Path) -> None:
    """A drain saves everything; a kill loses no more than an interval."""
    flags = ["--model", "echo", "--set", "model_defaults.engine=echo", "--set", "store.kind=sqlite"]
    flags += ["--set", f"store.path={tmp_path}/store.db"]
    service = ServiceProcess(tmp_path, *flags, "--set", "store.flush_interval_s=0.01")
    with service:
        say(service, "one", "s")
        say(service, "two", "gone")
        assert service.http.delete("/chat/sessions/gone").status_code == 200
        say(service, "late", "s")
        assert service.stop() == 0
    with service:
        assert messages(service, "s") == exchange("one", "late")
        say(service, "three", "s")
        assert messages(service, "s") == exchange("one", "late", "three")
        service.wait_for_metrics(lambda metrics: not metrics["store"]["num_unsaved_bytes"])
        assert [session["session_id"] for session in get(service).json()["sessions"]] == ["s"]
        service.stop(signal.SIGKILL)
    with service:
        assert messages(service, "s") == exchange("one", "late", "three")
        service.check_serves()
        assert service.stop() == 0


def test_a_conversation_goes_on_for_ever_and_its_system_prompt_stays(tmp_path: Path) -> None:
    """The worker leaves out the oldest exchanges; what it counts is what is left."""
    flags = [
        "--model",
        "echo",
        "--set",
        "model_defaults.engine=echo",
        "--set",
        "models.echo.max_model_len=30",
    ]
    flags += ["--set", "store.kind=sqlite", "--set", f"store.path={tmp_path}/store.db"]
    flags += ["--set", "chat.max_chars=200"]
    asyncio.run(give_system_prompt(flags, "Be brief and kind to all."))
    with ServiceProcess(tmp_path, *flags) as service:
        sizes = [num_prompt_tokens(service, f"question number {number}") for number in range(12)]
        kept = messages(service, "s")
        assert service.stop() == 0
    # 30 less 10 for the answer: six words of the system prompt, three of the question, six of an exchange.
    assert sizes == [9, *[15] * 11]
    assert kept[0] == {"role": "system", "content": "Be brief and kind to all."}
    assert kept[-1]["content"] == "question number 11"
    assert sum(len(message["content"]) for message in kept) <= 200


async def give_system_prompt(flags: list[str], text: str) -> None:
    settings = load(flags, {})
    store = SqliteStore(settings.store)
    await store.start()
    await Sessions(settings.chat, store).remember("anyone", "s", ChatMessage("system", text))
    await store.close()


def num_prompt_tokens(service: ServiceProcess, message: str) -> int:
    body = {"message": message, "session_id": "s", "max_tokens": 10}
    *_, end = sse.objects(service.http.post("/chat/stream", json=body).raise_for_status().content)
    assert end["finish_reason"] == "stop"
    num_tokens: int = end["usage"]["prompt_tokens"]
    return num_tokens
