"""What prompts cost each other: the part of `scripts/bench text` about shared beginnings and long
prompts, and at the end `text_answers.py`. By itself: `python -m scripts.benchmarks.text_prompts [flags]`.

Each function takes the address of a service, prints what it saw, and returns which bars are met.
"""

import argparse
import asyncio
import random
import statistics
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, NamedTuple

from scripts.benchmarks import load, text_answers
from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import sluice
from scripts.benchmarks.text_model import model_folder

PREFIX_BAR, NUM_PREFIX_TOKENS, NUM_SUFFIX_TOKENS, NUM_PAIRS = 5.0, 1000, 10, 9
BESIDE_BAR, NUM_LONG_TOKENS, NUM_BESIDE, NUM_BEFORE, NUM_ARRIVALS = 2.0, 4000, 16, 150, 3


def some_tokens(generator: random.Random, num_tokens: int) -> list[int]:
    """Ids that every vocabulary of a few hundred tokens has, the special ones left out."""
    return [generator.randrange(10, 250) for _ in range(num_tokens)]


def shared_prefix(url: str) -> list[bool]:
    """Time to first token of two prompts that begin alike, one after the other."""
    generator, ttfts = random.Random(), []
    for _ in range(NUM_PAIRS):
        prefix = some_tokens(generator, NUM_PREFIX_TOKENS)
        prompts = [prefix + some_tokens(generator, NUM_SUFFIX_TOKENS) for _ in range(2)]
        pair = [
            load.run({"url": f"{url}/v1/completions", "bodies": [load.completion(p, 2)]}) for p in prompts
        ]
        ttfts.append([seen["ttfts"][0] for seen in pair])
    first, second = (statistics.median(each) * 1e3 for each in zip(*ttfts, strict=True))
    print(f"{NUM_PREFIX_TOKENS} tokens that two prompts begin with: first token after", end=" ")
    print(f"{first:.1f} ms, then {second:.1f} ms (median of {NUM_PAIRS} pairs)", flush=True)
    return [
        bar("second first token sooner", statistics.median(a / b for a, b in ttfts), ">=", PREFIX_BAR, "x")
    ]


class Watched(load.Reading):
    """Says when the stream has so many events."""

    def __init__(self, num_events: int) -> None:
        super().__init__()
        self._num_awaited = num_events
        self.is_long = asyncio.Event()

    def feed(self, chunk: bytes) -> None:
        super().feed(chunk)
        if self.num_events >= self._num_awaited:
            self.is_long.set()


class Arrival(NamedTuple):
    """All in seconds: the streams' gaps beside a long prompt, those in the same places without it, and the
    prompt's time to first token beside them and alone.
    """

    without: list[float]
    beside: list[float]
    wait_s: float
    alone_s: float


def beside_long_prompt(url: str) -> list[bool]:
    """Inter-token latency of streams while a long prompt is computed."""
    seen = [asyncio.run(_arrival(f"{url}/v1/completions")) for _ in range(NUM_ARRIVALS)]
    print(f"{NUM_BESIDE} streams without and beside a prompt of {NUM_LONG_TOKENS} tokens:", end=" ")
    for share in (0.5, 0.99):
        pair = [_median_ms(gaps, share) for gaps in ([s.without for s in seen], [s.beside for s in seen])]
        print(f"inter-token p{share * 100:.0f} {pair[0]:.1f} and {pair[1]:.1f} ms", end=", ")
    wait_s, alone_s = (
        statistics.median(each) for each in ([s.wait_s for s in seen], [s.alone_s for s in seen])
    )
    print(f"its first token after {wait_s:.1f} s, alone {alone_s:.1f} s", flush=True)
    ratios = [percentile(s.beside, 0.99) / percentile(s.without, 0.99) for s in seen]
    return [bar("p99 beside it over without", statistics.median(ratios), "<=", BESIDE_BAR, "x")]


def _median_ms(runs: Sequence[list[float]], share: float) -> float:
    return statistics.median(percentile(gaps, share) for gaps in runs) * 1e3


async def _arrival(url: str) -> Arrival:
    """The same streams twice, as their steps grow longer with their texts: the same places are compared."""
    generator = random.Random()
    alone_s = await _first_token_s(url, some_tokens(generator, NUM_LONG_TOKENS))
    bodies = [load.completion(some_tokens(generator, 20), NUM_LONG_TOKENS) for _ in range(NUM_BESIDE)]
    async with _streams(url, bodies, NUM_BEFORE) as readings:
        came = time.monotonic()
        wait_s = await _first_token_s(url, some_tokens(generator, NUM_LONG_TOKENS))
    spans = [
        slice(bisect_left(reading.times, came), bisect_right(reading.times, came + wait_s))
        for reading in readings
    ]
    async with _streams(url, bodies, max(span.stop for span in spans)) as others:
        pass
    return Arrival(_gaps(others, spans), _gaps(readings, spans), wait_s, alone_s)


def _gaps(readings: list[Watched], spans: list[slice]) -> list[float]:
    times = [reading.times[span] for reading, span in zip(readings, spans, strict=True)]
    return [b - a for each in times for a, b in pairwise(each)]


@asynccontextmanager
async def _streams(url: str, bodies: list[dict[str, Any]], num_events: int) -> AsyncIterator[list[Watched]]:
    """Running streams, as soon as each has had so many events."""
    readings = [Watched(num_events) for _ in bodies]
    tasks = [
        asyncio.create_task(load.read_stream({"url": url}, body, reading))
        for body, reading in zip(bodies, readings, strict=True)
    ]
    try:
        await asyncio.gather(*(reading.is_long.wait() for reading in readings))
        yield readings
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_token_s(url: str, prompt: list[int]) -> float:
    reading = load.Reading()
    await load.read_stream({"url": url}, load.completion(prompt, 1), reading)
    return reading.times[0] - reading.opened_at


def run(flags: list[str]) -> list[bool]:
    """All of them, those of `text_answers.py` too; `flags` name the model of these here."""
    with sluice("--threads", "1", *flags) as server:
        results = shared_prefix(server.url) + beside_long_prompt(server.url)
    return results + text_answers.run()


def main(argv: list[str]) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default=str(model_folder()))
    own, flags = options.parse_known_args(argv)
    results = run(["--model", own.model, *flags])
    print(f"{sum(results)} of {len(results)} bars met")


if __name__ == "__main__":
    main(sys.argv[1:])
