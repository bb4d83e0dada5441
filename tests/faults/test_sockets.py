"""Websockets whose peers vanish, do not read, or are sent away: each goes with a reason, leaving nothing."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.faults.streams import WORDS
from tests.service_process import ServiceProcess, free_port, wait_for
from tests.websocket import PING, PONG, UPGRADE, BareSocket, bare, closed_with, frame, receive, receive_until

# A sweep every second: a quiet socket is pinged twice before it counts as silent.
WATCHFUL = (
    "--set=sockets.ping_interval_s=0.5",
    "--set=sockets.silence_timeout_s=4.5",
    "--set=sockets.stall_timeout_s=1.0",
    "--set=sockets.low_unsent_bytes=4096",
    "--set=sockets.max_unsent_bytes=32768",
)
RECEIVE_BYTES = 4_096
LONG = {"type": "chat", "message": WORDS, "model": "steady", "max_tokens": 1_000}
SHORT = {"type": "chat", "message": " ".join(WORDS.split()[:100]), "model": "steady"}
FLOOD: dict[str, Any] = {
    "model": "echo",
    "messages": [{"role": "user", "content": "flood"}],
    "max_tokens": 1_000_000,
    "ignore_eos": True,
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, fragile_config: str) -> Iterator[ServiceProcess]:
    folder: Path = tmp_path_factory.mktemp("watchful")
    with ServiceProcess(folder, "--config", fragile_config, *WATCHFUL) as service:
        yield service
        assert service.stop() == 0


@pytest.fixture
def service(started: ServiceProcess) -> Iterator[ServiceProcess]:
    """Soon notices who is silent or stuck. After each test no socket, stream or task is left, of the
    connections none is open, and one more request is served.
    """
    started.check_serves()
    num_tasks, num_connections = started.metrics()["num_tasks"], connections(started)
    yield started
    started.wait_for_metrics(lambda m: m["open_sockets"] == 0 and m["num_tasks"] <= num_tasks)
    wait_for(lambda: connections(started) <= num_connections)
    started.check_serves()
    assert not [line for line in started.log_lines() if line.get("level") == "ERROR"]


@pytest.fixture
def own_service(tmp_path: Path, fragile_config: str) -> Iterator[ServiceProcess]:
    """A service that the test may end."""
    with ServiceProcess(tmp_path, "--config", fragile_config) as service:
        yield service


def connections(service: ServiceProcess) -> int:
    """Of clients, as the system counts them."""
    sockets = psutil.Process(service.process.pid).net_connections("tcp")
    return sum(each.status != psutil.CONN_LISTEN for each in sockets)


def is_connected(service: ServiceProcess, ws: BareSocket) -> bool:
    """Whether the service still has this connection, which is open on the client's side."""
    port = ws.client.getsockname()[1]
    sockets = psutil.Process(service.process.pid).net_connections("tcp")
    return any(each.raddr and each.raddr.port == port for each in sockets)


def dropped(service: ServiceProcess, route: str, reason: str) -> int:
    number: int = service.metrics()["sockets"].get(route, {}).get("dropped", {}).get(reason, 0)
    return number


def check_echoes(ws: BareSocket) -> None:
    ws.send(frame(b"x"))
    while ws.read().payload != b"Echo: x":
        pass


def test_a_silent_peer_is_dropped_and_one_that_answers_pings_is_not(service: ServiceProcess) -> None:
    before = dropped(service, "/ws", "silent")
    with bare(service.url, "/ws") as silent, bare(service.url, "/ws") as quiet:
        num_pings = 0
        while dropped(service, "/ws", "silent") == before:
            ping = quiet.read()
            assert ping.opcode == PING
            quiet.send(frame(ping.payload, PONG))
            num_pings += 1
        assert num_pings >= 2
        frames = silent.read_to_close()
        assert {each.opcode for each in frames[:-1]} == {PING}
        assert frames[-1].code == 1013
        assert silent.is_ended()
        check_echoes(quiet)
    assert dropped(service, "/ws", "silent") == before + 1


def test_a_peer_that_vanishes_in_the_middle_of_an_answer(service: ServiceProcess) -> None:
    """Half open: nothing tells of it but the pongs that do not come."""
    before = dropped(service, "/ws/{client_id}", "silent")
    with bare(service.url, "/ws/me") as ws:
        ws.send_json(**LONG)
        wait_for(lambda: dropped(service, "/ws/{client_id}", "silent") == before + 1)
        service.wait_idle()
        wait_for(lambda: not is_connected(service, ws))


def test_a_stuck_reader_of_answers_holds_them_up_and_is_dropped(service: ServiceProcess) -> None:
    route = "/v1/chat/completions"
    before = dropped(service, route, "slow_client")
    memory = psutil.Process(service.process.pid).memory_info().rss
    with bare(service.url, route, RECEIVE_BYTES) as ws:
        ws.send_json(**FLOOD)
        is_paused = lambda: service.metrics()["paused_streams"] == 1  # noqa: E731
        wait_for(lambda: is_paused() or dropped(service, route, "slow_client") > before)
        with bare(service.url, "/ws") as other:
            check_echoes(other)
        wait_for(lambda: dropped(service, route, "slow_client") == before + 1)
        service.wait_idle()
        wait_for(lambda: not is_connected(service, ws))
    assert psutil.Process(service.process.pid).memory_info().rss - memory < 20_000_000


def test_a_stuck_reader_of_echoes_is_not_listened_to(service: ServiceProcess) -> None:
    """What he sends waits in his own buffers; the service keeps no more than it may."""
    before = dropped(service, "/ws", "slow_client")
    with bare(service.url, "/ws", RECEIVE_BYTES) as ws:
        sending = threading.Thread(target=send_until_cut, args=(ws,))
        sending.start()
        wait_for(lambda: dropped(service, "/ws", "slow_client") == before + 1)
        wait_for(lambda: not is_connected(service, ws))
        sending.join()
    text = service.http.get("/metrics", headers={"Accept": "text/plain"}).text
    assert "sluice_socket_unsent_bytes 0.0" in text
    assert f'sluice_sockets_dropped_total{{reason="slow_client",route="/ws"}} {before + 1}.0' in text


def send_until_cut(ws: BareSocket) -> None:
    message = frame(b"x" * 2_000)
    with suppress(OSError):
        for _ in range(10_000):
            ws.send(message)


def test_who_reads_again_in_time_has_lost_nothing(tmp_path: Path, fragile_config: str) -> None:
    flags = ("--config", fragile_config, "--set=sockets.low_unsent_bytes=4096")
    with ServiceProcess(tmp_path, *flags, "--set=streams.stall_timeout_s=60") as service:
        with bare(service.url, "/v1/chat/completions", RECEIVE_BYTES) as ws:
            ws.send_json(**FLOOD | {"max_tokens": 5_000})
            service.wait_for_metrics(lambda m: m["paused_streams"] == 1)
            text, reason = "", None
            while not reason:
                choice = json.loads(ws.read().payload)["choices"][0]
                text += choice["delta"].get("content", "")
                reason = choice["finish_reason"]
        assert (text, reason) == ("flood" * 5_000, "length")
        service.wait_idle()
        assert service.stop() == 0


def test_many_that_are_cut_off_at_once(service: ServiceProcess) -> None:
    num_before = service.metrics()["total_streams"]
    with ExitStack() as stack:
        for _ in range(20):
            ws = stack.enter_context(bare(service.url, "/v1/chat/completions", RECEIVE_BYTES))
            ws.send_json(**FLOOD)
        # On a busy machine the first may have been dropped for their slowness when the last begin.
        service.wait_for_metrics(lambda m: m["total_streams"] == num_before + 20)
    service.wait_idle()


async def test_an_answer_ends_whole_before_the_service_leaves(own_service: ServiceProcess) -> None:
    url = own_service.url
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/ws/me") as busy,
        session.ws_connect(f"{url}/ws/you") as idle,
        session.ws_connect(f"{url}/v1/chat/completions") as waiting,
    ):
        await busy.send_json(SHORT)
        told = [await receive(busy)]
        own_service.process.send_signal(signal.SIGTERM)
        assert await closed_with(idle) == await closed_with(waiting) == 1012
        assert own_service.metrics()["active_streams"] == 1
        refused = await session.get(
            f"{url}/ws",
            headers=UPGRADE,
        )
        assert (refused.status, (await refused.json())["error"]["code"]) == (503, "drained")
        assert refused.headers["Retry-After"]
        told += await receive_until(busy, "done", "error")
        assert "".join(each["content"] for each in told[:-1]) == SHORT["message"]
        assert told[-1]["finish_reason"] == "stop"
        assert await closed_with(busy) == 1012
    assert own_service.wait_end() == 0


async def test_an_answer_over_time_ends_as_drained(tmp_path: Path, fragile_config: str) -> None:
    flags = ("--config", fragile_config, "--set", "http.drain_timeout_s=0.3")
    with ServiceProcess(tmp_path, *flags) as service:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws/me") as ws:
            await ws.send_json(LONG)
            await receive(ws)
            service.process.send_signal(signal.SIGTERM)
            told = await receive_until(ws, "done", "error")
            assert told[-1]["finish_reason"] == "drained"
            assert told[-1]["usage"]["completion_tokens"] > 0
            assert await closed_with(ws) == 1012
        assert service.wait_end() == 0


def test_sockets_that_do_not_answer_do_not_hold_it_up(own_service: ServiceProcess) -> None:
    with bare(own_service.url, "/ws") as deaf, bare(own_service.url, "/ws/me", RECEIVE_BYTES) as stuck:
        check_echoes(deaf)
        stuck.send_json(**LONG | {"model": "echo", "message": "x" * 100_000})
        stuck.read()
        assert own_service.stop() == 0


async def test_reconnecting_to_the_next_service(tmp_path: Path, fragile_config: str) -> None:
    """The same address, another process: what a client does that was told 1012."""
    port = free_port()
    flags = ("--config", fragile_config, "--port", str(port), "--set=store.kind=sqlite")
    answers = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        with ServiceProcess(tmp_path / name, *flags, f"--set=store.path={tmp_path}/sluice.db") as service:
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/ws/me") as ws:
                await ws.send_json({"type": "chat", "message": "a b c", "session_id": "kept"})
                answers.append((await receive_until(ws, "done", "error"))[-1]["usage"]["prompt_tokens"])
                service.process.send_signal(signal.SIGTERM)
                assert await closed_with(ws) == 1012
            assert service.wait_end() == 0
    assert answers == [3, 9]
