"""`scripts/bench text`: tokens per second through HTTP over those of the bare engine loop.

The same model, prompt and length, one compute thread each, in turns within one run: the engine alone
in a process, then worker, service and SSE to a client. Flags go to both (`--model FOLDER`).
"""

import statistics
import subprocess
import sys

from scripts.benchmarks import load
from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import sluice

PROMPT = "Tell me a story about a fox and a lantern."
BATCHES, MAX_TOKENS, NUM_ROUNDS = (1, 8, 32), 200, 5


class Bare:
    """The bare engine loop in its own process."""

    def __init__(self, flags: list[str]) -> None:
        command = [sys.executable, "-m", "scripts.benchmarks.bare", *flags]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.description = self._line()

    def tokens_per_s(self, num_streams: int) -> float:
        assert self._process.stdin
        self._process.stdin.write(f"{num_streams} {MAX_TOKENS} {PROMPT}\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


def through_http(url: str, num_streams: int) -> tuple[float, list[float]]:
    """Tokens per second of all streams together, and all inter-token latencies in seconds."""
    message = {"role": "user", "content": PROMPT}
    body = {"messages": [message], "max_tokens": MAX_TOKENS, "temperature": 0, "ignore_eos": True}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    seen = load.run({"url": f"{url}/v1/chat/completions", "bodies": [body] * num_streams})
    assert f'"completion_tokens":{MAX_TOKENS}' in seen["tails"][0], seen["tails"][0]
    return num_streams * MAX_TOKENS / seen["read_s"], seen["itls"]


def main(flags: list[str]) -> None:
    bare, results = Bare(flags), []
    with sluice("--threads", "1", *flags) as server:
        print(f"{bare.description.strip()}; {MAX_TOKENS} tokens a stream, median of {NUM_ROUNDS} rounds")
        for num_streams in BATCHES:
            bare.tokens_per_s(num_streams), through_http(server.url, num_streams)
            rounds = [
                (bare.tokens_per_s(num_streams), *through_http(server.url, num_streams))
                for _ in range(NUM_ROUNDS)
            ]
            alone, served = (statistics.median(r[i] for r in rounds) for i in (0, 1))
            itls = [itl * 1e3 for r in rounds for itl in r[2]]
            p50, p99 = percentile(itls, 0.5), percentile(itls, 0.99)
            print(f"{num_streams:3} streams: bare {alone:7.1f}, HTTP {served:7.1f} tokens/s;", end=" ")
            print(f"inter-token latency p50 {p50:.2f} ms, p99 {p99:.2f} ms")
            ratio = statistics.median(http / alone for alone, http, _ in rounds)
            results.append(bar(f"HTTP over bare at {num_streams}", ratio, ">=", 0.90))
    bare.close()
    print(f"{sum(results)} of {len(results)} bars met")


if __name__ == "__main__":
    main(sys.argv[1:])
