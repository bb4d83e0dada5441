"""`scripts/bench sockets`: a thousand open websockets, a room of them with five stuck, tokens over two wires.

The load is a process of its own. The delays are those of messages from one member's send to another's read.
"""

import json
import time
from typing import Any

import httpx

from scripts.benchmarks import load
from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import Server, echo
from scripts.benchmarks.socket_load import LoadProcess

NUM_OPEN, NUM_STUCK = 1_000, 5
EVERY_S, RUN_S, PADDING = 0.2, 60, 4_096
NUM_STREAMS, NUM_TOKENS, NUM_ROUNDS = 32, 400, 3


def settled_bytes(server: Server) -> int:
    """Resident memory once it has stopped to grow."""
    before = 0
    while (now := server.memory_bytes()) != before:
        before = now
        time.sleep(0.5)
    return now


def memory() -> list[bool]:
    results = []
    for path in ("/ws", "/ws/client-{}", "/chat?session_id=room"):
        with echo("echo") as server, LoadProcess(server.url) as sockets:
            idle = settled_bytes(server)
            if "{}" in path:
                for number in range(NUM_OPEN):
                    sockets.do("open", path=path.format(number), number=1)
            else:
                sockets.do("open", path=path, number=NUM_OPEN)
            opened = settled_bytes(server) - idle
            spoken = opened
            if not path.startswith("/chat"):
                text = "hello" if path == "/ws" else '{"type": "chat", "message": "a b c"}'
                sockets.do("say", text=text, ending="" if path == "/ws" else '"done"')
                spoken = settled_bytes(server) - idle
            sockets.do("close")
        print(f"{NUM_OPEN} sockets on {path}: {opened / NUM_OPEN / 1e3:.1f} KB each", end="")
        print(f", after a message {spoken / NUM_OPEN / 1e3:.1f} KB")
        results.append(bar(f"memory above idle, {path}", max(opened, spoken) / 1e6, "<=", 100, " MB"))
    return results


def dropped(server: Server) -> dict[str, int]:
    counts: dict[str, int] = httpx.get(f"{server.url}/metrics").json()["sockets"]["/chat"]["dropped"]
    return counts


def room() -> list[bool]:
    """One chat session; each question is told to all others, and so is its answer."""
    with echo("echo") as server, LoadProcess(server.url) as members:
        members.do("open", path="/chat?session_id=room", number=NUM_OPEN - NUM_STUCK, num_stuck=NUM_STUCK)
        members.do("talk", every_s=EVERY_S, run_s=2, padding=PADDING)
        members.do("result")
        before, cpu_s = server.memory_bytes(), server.cpu_s()
        members.do("talk", every_s=EVERY_S, run_s=RUN_S, padding=PADDING)
        time.sleep(1)
        cpu_s = server.cpu_s() - cpu_s
        seen, grown = members.do("result"), server.memory_bytes() - before
        why = dropped(server)
        members.do("close")
    print(f"a room of {NUM_OPEN}, a question of {PADDING} bytes every {EVERY_S} s for {RUN_S} s")
    print(f"  {seen['num_texts']} messages, {cpu_s / seen['num_texts'] * 1e6:.1f} us CPU each", end="")
    print(f" ({cpu_s / RUN_S:.0%} of a core); memory {grown / 1e6:+.1f} MB; dropped: {why}")
    for kind, name in (("message", "questions"), ("token", "answers")):
        delays = [delay * 1e3 for delay in seen["delays"][kind]]
        figures = ", ".join(f"p{share * 100:g} {percentile(delays, share):.1f} ms" for share in (0.5, 0.99))
        print(f"  {name}: {figures}, largest {max(delays):.1f} ms ({len(delays)})")
    delays = seen["delays"]["message"]
    return [
        bar("p99 delay of the others' messages", percentile(delays, 0.99) * 1e3, "<=", 250, " ms"),
        bar("stuck members dropped as slow_client", why.get("slow_client", 0), ">=", NUM_STUCK),
        bar("others closed", seen["num_closed"], "<=", 0),
    ]


def body() -> dict[str, Any]:
    message = {"role": "user", "content": "the quick brown fox"}
    return {"messages": [message], "max_tokens": NUM_TOKENS, "stream": True, "ignore_eos": True}


def sse_cost(server: Server) -> tuple[float, list[float]]:
    """CPU microseconds of the service per token, and the delays."""
    order = {"url": f"{server.url}/v1/chat/completions", "bodies": [body()] * NUM_STREAMS}
    before = server.cpu_s()
    seen = load.run(order)
    return (server.cpu_s() - before) / (NUM_STREAMS * NUM_TOKENS) * 1e6, seen["delays"]


def socket_cost(server: Server, sockets: LoadProcess) -> tuple[float, list[float]]:
    before = server.cpu_s()
    sockets.do("say", text=json.dumps(body()), ending='"finish_reason":"length"')
    spent = server.cpu_s() - before
    seen = sockets.do("result")
    assert seen["num_texts"] >= NUM_STREAMS * NUM_TOKENS, seen["num_texts"]
    return spent / (NUM_STREAMS * NUM_TOKENS) * 1e6, seen["delays"]["content"]


def tokens() -> None:
    """The same answers over SSE and over websockets, in turns on one service."""
    for variant in ("clock", "clock@100"):
        with echo(variant) as server, LoadProcess(server.url) as sockets:
            sockets.do("open", path="/v1/chat/completions", number=NUM_STREAMS)
            sse_cost(server), socket_cost(server, sockets)
            rounds = [(sse_cost(server), socket_cost(server, sockets)) for _ in range(NUM_ROUNDS)]
            sockets.do("close")
        print(f"{NUM_STREAMS} answers of {NUM_TOKENS} tokens, {variant}")
        costs = [sum(each[i][0] for each in rounds) / NUM_ROUNDS for i in (0, 1)]
        for place, name in enumerate(("SSE", "websocket")):
            delays = [delay * 1e3 for each in rounds for delay in each[place][1]]
            print(f"  {name:9} {costs[place]:5.1f} us CPU a token; made to read: ", end="")
            print(f"p50 {percentile(delays, 0.5):.2f} ms, p99 {percentile(delays, 0.99):.2f} ms")
        print(f"  websocket over SSE: {costs[1] / costs[0]:.2f}")


if __name__ == "__main__":
    results = [*memory(), *room()]
    tokens()
    print(f"{sum(results)} of {len(results)} bars met")
