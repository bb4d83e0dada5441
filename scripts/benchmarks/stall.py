"""`scripts/bench stall`: one reader that reads nothing for a minute, beside 20 quick ones.

The quick readers' inter-token latency with and without the stalled one beside them, in one run; the
service's memory; and how the stalled stream ended. Steps come at an even pace, as a model's do.
"""

import json
import socket
import time
from urllib.parse import urlsplit

import httpx

from scripts.benchmarks import load
from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import Server, echo

PACE, HOLD_S, NUM_QUICK = 50, 60, 20
# Eight choices, so that the stalled stream fills every buffer on its way in seconds.
NUM_CHOICES = 8
BODY = {"prompt": "the quick brown fox", "max_tokens": PACE * HOLD_S, "stream": True, "ignore_eos": True}

Result = dict[str, list[float]]


def quick(server: Server) -> Result:
    return load.run({"url": f"{server.url}/v1/completions", "bodies": [BODY] * NUM_QUICK})


def stalled_socket(server: Server) -> socket.socket:
    """Ask for a long stream on a socket that nobody reads."""
    url = urlsplit(server.url)
    body = json.dumps(BODY | {"n": NUM_CHOICES, "max_tokens": 1_000_000}).encode()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((url.hostname, url.port))
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
    sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return sock


def main() -> None:
    with echo(f"clock@{PACE}") as server:
        alone = quick(server)
        memory = server.memory_bytes()
        sock, began = stalled_socket(server), time.monotonic()
        client = load.start({"url": f"{server.url}/v1/completions", "bodies": [BODY] * NUM_QUICK})
        seen = {"paused": 0, "unread": 0, "memory": 0}
        ended_s = 0.0
        while client.poll() is None and time.monotonic() - began < HOLD_S + 1:
            metrics = httpx.get(f"{server.url}/metrics").json()
            seen["paused"] = max(seen["paused"], metrics["paused_streams"])
            seen["unread"] = max(seen["unread"], metrics["unread_bytes"])
            seen["memory"] = max(seen["memory"], server.memory_bytes() - memory)
            if not ended_s and metrics["ended"].get("slow_client"):
                ended_s = time.monotonic() - began
            time.sleep(1)
        beside = load.result(client)
        ended = httpx.get(f"{server.url}/metrics").json()["ended"]
        sock.close()
    report(alone, beside, seen, ended, ended_s)


def report(
    alone: Result, beside: Result, seen: dict[str, int], ended: dict[str, int], ended_s: float
) -> None:
    for name, result in (("alone", alone), ("beside a stalled reader", beside)):
        itls = [itl * 1e3 for itl in result["itls"]]
        figures = ", ".join(
            f"p{share * 100:g} {percentile(itls, share):.2f} ms" for share in (0.5, 0.99, 0.999)
        )
        print(f"{NUM_QUICK} quick readers {name}: inter-token latency {figures} ({len(itls)} gaps)")
    paused, unread = seen["paused"], seen["unread"]
    print(f"stalled: jobs paused {paused}, unread at most {unread} bytes, ended after {ended_s:.0f} s")
    change = percentile(beside["itls"], 0.99) / percentile(alone["itls"], 0.99) - 1
    results = [
        bar("p99 inter-token latency of the quick readers, change", change * 100, "<=", 10, " %"),
        bar("streams ended as slow_client", ended.get("slow_client", 0), ">=", 1),
        bar("service memory above the level before", seen["memory"] / 1e6, "<=", 10, " MB"),
    ]
    print(f"{sum(results)} of {len(results)} bars met")


if __name__ == "__main__":
    main()
