"""`scripts/bench house`: what the house itself costs, beside FastAPI with sse-starlette.

The echo engine runs through one worker, the service and SSE to a client in another process. The
peer emits the same chunks from memory, without a worker. Same client, same run, CPU of the serving
process alone. Paced: every event is a write of its own, as tokens of a real model are.
"""

import subprocess
import sys
import time

from scripts.benchmarks import load
from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import Server, echo, peer

NUM_STREAMS = 32
NUM_FLOOD, NUM_PACED, PACE = 3000, 400, 100
NUM_OPEN = 2000
PROMPT = "the quick brown fox jumps over the lazy dog"


def order(server: Server, num_streams: int, max_tokens: int) -> dict[str, object]:
    body = {"prompt": PROMPT, "max_tokens": max_tokens, "stream": True, "ignore_eos": True}
    return {"url": f"{server.url}/v1/completions", "bodies": [body] * num_streams}


def measure(server: Server, max_tokens: int) -> tuple[float, dict[str, list[float]]]:
    """CPU microseconds of the service per event that the client received, and what it saw."""
    load.run(order(server, NUM_STREAMS, 100))
    before = server.cpu_s()
    seen = load.run(order(server, NUM_STREAMS, max_tokens))
    spent = server.cpu_s() - before
    assert seen["num_events"] >= NUM_STREAMS * max_tokens, (seen["num_events"], seen["tails"])
    return spent / seen["num_events"] * 1e6, seen


def throughput() -> list[bool]:
    bars = []
    for name, max_tokens, pace in (("flood", NUM_FLOOD, 0), (f"{PACE} steps/s", NUM_PACED, PACE)):
        with echo(f"clock@{pace}" if pace else "echo") as ours, peer(pace) as theirs:
            cost, seen = measure(ours, max_tokens)
            peer_cost, peer_seen = measure(theirs, max_tokens)
        print(f"{name}: {NUM_STREAMS} streams of {max_tokens} events")
        print(f"  sluice {cost:6.1f} us CPU per event, {1e6 / cost:8.0f} events per second of service CPU")
        print(f"  peer   {peer_cost:6.1f} us CPU per event, {1e6 / peer_cost:8.0f}")
        bars.append(
            bar(f"events per service CPU second over the peer's, {name}", peer_cost / cost, ">=", 2.0)
        )
        if pace:
            for server, result in (("sluice", seen), ("peer", peer_seen)):
                delays = [delay * 1e3 for delay in result["delays"]]
                p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
                print(f"  {server:6} event made to event read: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    return bars


def memory() -> bool:
    with echo("echo@1") as server:
        before = server.memory_bytes()
        client = load.start(order(server, NUM_OPEN, 1000) | {"hold_s": 8})
        assert client.stdout
        client.stdout.readline()
        per_stream = (server.memory_bytes() - before) / NUM_OPEN / 1e3
        seen = load.result(client)
        assert len(seen["ttfts"]) == NUM_OPEN, len(seen["ttfts"])
    print(f"{NUM_OPEN} open streams, {seen['num_events']} events read while they were open")
    return bar("resident memory per open stream", per_stream, "<=", 40, " KB")


def start() -> list[bool]:
    began = time.monotonic()
    with echo("echo"):
        pass
    code = (
        "import sys, service.app; print(*(m for m in ('torch', 'numpy', 'transformers') if m in sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    print(f"importing service.app loads: {loaded or 'no tensor library'}")
    print(f"start, ready, stop: {time.monotonic() - began:.2f} s")
    return [
        bar("service start to listening", min(listening_s() for _ in range(3)), "<=", 1.5, " s"),
        not loaded,
    ]


def listening_s() -> float:
    """Seconds from the command to its `listening` line."""
    began = time.monotonic()
    flags = [
        "--port",
        "0",
        "--model",
        "echo",
        "--set",
        "model_defaults.engine=echo",
        "--set",
        "log.format=json",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "service", *flags],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if '"listening"' in line:
            took = time.monotonic() - began
            break
    process.terminate()
    process.communicate()
    return took


if __name__ == "__main__":
    results = [*throughput(), memory(), *start()]
    print(f"{sum(results)} of {len(results)} bars met")
