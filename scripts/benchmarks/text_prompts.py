"""What prompts cost each other: the part of `scripts/bench text` about shared beginnings, long prompts,
company, and texts that repeat themselves. By itself: `python -m scripts.benchmarks.text_prompts [flags]`.

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
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count, pairwise
from typing import Any, NamedTuple

import httpx

from scripts.benchmarks import load
from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import sluice
from scripts.benchmarks.text_model import model_folder

Body = dict[str, Any]

PREFIX_BAR, NUM_PREFIX_TOKENS, NUM_SUFFIX_TOKENS, NUM_PAIRS = 5.0, 1000, 10, 9
BESIDE_BAR, NUM_LONG_TOKENS, NUM_BESIDE, NUM_BEFORE, NUM_ARRIVALS = 2.0, 4000, 16, 150, 3
NUM_SEEDED, NUM_TOGETHER, NUM_SEEDED_TOKENS = 100, 32, 40
COPY_BAR, OTHER_BAR, NUM_ROUNDS, NUM_ANSWER_TOKENS = 1.0, 0.95, 9, 160

SENTENCE = "The little dog ran to the red house and saw a big cat in the tree. "
OPENINGS = [
    "Once upon a time there was a little girl named Lily.",
    "One day a big red ball",
    "Tim and his mom went to the park.",
    "The old man had a boat and",
    "Sara found a shiny stone.",
    "There was a frog who",
    "Every morning the bird",
    "In the forest lived a bear.",
]


def completion(prompt: str | list[int], max_tokens: int, **fields: Any) -> Body:
    body = {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True, "stream": True}
    return body | fields


def some_tokens(generator: random.Random, num_tokens: int) -> list[int]:
    """Ids that every vocabulary of a few hundred tokens has, the special ones left out."""
    return [generator.randrange(10, 250) for _ in range(num_tokens)]


def shared_prefix(url: str) -> list[bool]:
    """Time to first token of two prompts that begin alike, one after the other."""
    generator, ttfts = random.Random(), []
    for _ in range(NUM_PAIRS):
        prefix = some_tokens(generator, NUM_PREFIX_TOKENS)
        prompts = [prefix + some_tokens(generator, NUM_SUFFIX_TOKENS) for _ in range(2)]
        pair = [load.run({"url": f"{url}/v1/completions", "bodies": [completion(p, 2)]}) for p in prompts]
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
    bodies = [completion(some_tokens(generator, 20), NUM_LONG_TOKENS) for _ in range(NUM_BESIDE)]
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
async def _streams(url: str, bodies: list[Body], num_events: int) -> AsyncIterator[list[Watched]]:
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
    await load.read_stream({"url": url}, completion(prompt, 1), reading)
    return reading.times[0] - reading.opened_at


def determinism(url: str) -> list[bool]:
    """Seeded answers alone and among 31 others. In float32."""

    def ask(seed: int) -> str:
        prompt = " ".join(OPENINGS[(seed + i) % len(OPENINGS)] for i in range(1 + seed % 5))
        body = completion(prompt, NUM_SEEDED_TOKENS, seed=seed, temperature=1, stream=False)
        answer = httpx.post(f"{url}/v1/completions", json=body, timeout=300)
        text: str = answer.raise_for_status().json()["choices"][0]["text"]
        return text

    alone = [ask(seed) for seed in range(NUM_SEEDED)]
    with ThreadPoolExecutor(NUM_TOGETHER) as pool:
        together = list(pool.map(ask, range(NUM_SEEDED)))
    num_alike = sum(a == b for a, b in zip(alone, together, strict=True))
    print(f"seeded answers of {NUM_SEEDED_TOKENS} tokens alone and {NUM_TOGETHER} at a time:", end=" ")
    print(f"{len(set(alone))} different texts")
    return [bar("the same text alone and together", num_alike, ">=", NUM_SEEDED)]


def speculation(plain_url: str, drafting_url: str) -> list[bool]:
    """Tokens per second of one model with drafts over those without, in turns."""
    copies = [f"{opening} {SENTENCE * 6}" for opening in OPENINGS]
    results = []
    for name, prompts, temperature in (
        ("copying", copies[:1], 0.0),
        ("8 that copy", copies, 0.0),
        ("a story", OPENINGS[:1], 0.0),
        ("8 stories", OPENINGS, 0.0),
        ("a story, sampled", OPENINGS[:1], 1.0),
        ("8 stories, sampled", OPENINGS, 1.0),
        ("32 stories, sampled", OPENINGS * 4, 1.0),
    ):
        ratios = _ratios(plain_url, drafting_url, prompts, temperature)
        print(f"drafts, {name}: {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds")
        limit = COPY_BAR if "cop" in name else OTHER_BAR
        results.append(
            bar(f"tokens/s with drafts over without, {name}", statistics.median(ratios), ">=", limit)
        )
    workers = httpx.get(f"{drafting_url}/metrics").json()["workers"]
    stats = workers[0]["stats"]
    print(f"  {stats['num_accepted_tokens']} of {stats['num_drafted_tokens']} drafted tokens accepted")
    return results


def _ratios(plain_url: str, drafting_url: str, prompts: list[str], temperature: float) -> list[float]:
    """By round; the first, which warms up, is left out."""
    ratios, seeds = [], count()
    for number in range(NUM_ROUNDS + 1):
        bodies = [
            completion(prompt, NUM_ANSWER_TOKENS, temperature=temperature, seed=next(seeds))
            for prompt in prompts
        ]
        took_s = {}
        for url in (plain_url, drafting_url)[:: -1 if number % 2 else 1]:
            took_s[url] = load.run({"url": f"{url}/v1/completions", "bodies": bodies})["read_s"]
        ratios.append(took_s[plain_url] / took_s[drafting_url])
    return ratios[1:]


def run(flags: list[str]) -> list[bool]:
    """All of them, with services of their own; `flags` name the model of the first two."""
    with sluice("--threads", "1", *flags) as server:
        results = shared_prefix(server.url) + beside_long_prompt(server.url)
    embedded = ("--threads", "1", "--model", "embedded")
    with sluice(*embedded, "--dtype", "float32") as server:
        results += determinism(server.url)
    plain, drafting = (
        (*embedded, "--set", f"model_defaults.speculation={name}") for name in ("off", "prompt_lookup")
    )
    with sluice(*plain) as server, sluice(*drafting) as other:
        results += speculation(server.url, other.url)
    return results


def main(argv: list[str]) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default=str(model_folder()))
    own, flags = options.parse_known_args(argv)
    results = run(["--model", own.model, *flags])
    print(f"{sum(results)} of {len(results)} bars met")


if __name__ == "__main__":
    main(sys.argv[1:])
