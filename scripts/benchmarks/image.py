"""`scripts/bench image`: pictures over HTTP beside diffusers' own pipeline, four at once, and beside text.

All on one compute thread each; what is compared takes turns within one run. Flags go to the service
(`--set models.image.device=cuda`).
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import aiohttp
import torch

from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import sluice

MODEL, PROMPT = "image", "a big red circle on a white background"
NUM_STEPS, NUM_ROUNDS, NUM_AT_ONCE = 50, 9, 4
# Long enough that the text ends first.
LONG_STEPS, NUM_TOKENS = 150, 200


class Bare:
    """diffusers' own pipeline, in a process of its own."""

    def __init__(self, flags: list[str]) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "scripts.benchmarks.bare_image", MODEL, *flags]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.name = self._answer().strip()

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()

    def seconds(self, num_steps: int) -> float:
        assert self._process.stdin
        self._process.stdin.write(f"{num_steps} {PROMPT}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def body(preview_every: int = 0, steps: int = NUM_STEPS, seed: int = 1) -> dict[str, Any]:
    return {"prompt": PROMPT, "steps": steps, "seed": seed, "preview_every": preview_every, "model": MODEL}


async def draw(session: aiohttp.ClientSession, order: dict[str, Any]) -> None:
    """One picture, read to its end."""
    async with session.post("/generate_image_stream", json=order) as response:
        assert response.status == 200, await response.text()
        events = [json.loads(line[6:]) async for line in response.content if line.startswith(b"data: ")]
    assert events[-1]["status"] == "complete", events[-1]
    previews = sum(bool(event["image"]) for event in events[:-1])
    every = order["preview_every"]
    assert previews == (len(range(every, order["steps"], every)) if every else 0), previews


async def seconds(doing: Any) -> float:
    began = time.monotonic()
    await doing
    return time.monotonic() - began


async def at_once(session: aiohttp.ClientSession) -> None:
    await asyncio.gather(*(draw(session, body(seed=seed)) for seed in range(NUM_AT_ONCE)))


async def in_a_row(session: aiohttp.ClientSession) -> None:
    for seed in range(NUM_AT_ONCE):
        await draw(session, body(seed=seed))


async def token_gaps(session: aiohttp.ClientSession) -> list[float]:
    """Milliseconds between the tokens of one text stream."""
    order = {"prompt": "Tell me a story.", "max_tokens": NUM_TOKENS, "stream": True, "ignore_eos": True}
    async with session.post("/v1/completions", json=order) as response:
        assert response.status == 200, await response.text()
        times = [time.monotonic() async for line in response.content if line.startswith(b"data: ")]
    return [(b - a) * 1e3 for a, b in pairwise(times)]


async def beside(session: aiohttp.ClientSession) -> tuple[float, float]:
    """The median gap of a text alone, and of one while a picture is denoised."""
    alone = await token_gaps(session)
    picture = asyncio.create_task(draw(session, body(steps=LONG_STEPS)))
    both = await token_gaps(session)
    assert not picture.done(), "the picture was done before the text"
    await picture
    return percentile(alone, 0.5), percentile(both, 0.5)


async def measure(url: str, bare: Bare) -> None:
    async with aiohttp.ClientSession(url) as session:
        await draw(session, body(5))
        bare.seconds(NUM_STEPS)
        speeds, batches, gaps = [], [], []
        for _ in range(NUM_ROUNDS):
            without = await seconds(draw(session, body()))
            own = await asyncio.to_thread(bare.seconds, NUM_STEPS)
            with_previews = await seconds(draw(session, body(5)))
            speeds.append((own / without, own / with_previews, own))
        for _ in range(NUM_ROUNDS // 2):
            batches.append((await seconds(in_a_row(session)), await seconds(at_once(session))))
            gaps.append(await beside(session))
    off, on, own = (statistics.median(values) for values in zip(*speeds, strict=True))
    row_s, once_s = (statistics.median(values) for values in zip(*batches, strict=True))
    alone, both = (statistics.median(values) for values in zip(*gaps, strict=True))
    print(f"{NUM_STEPS} steps of {bare.name}, median of {NUM_ROUNDS} rounds")
    print(f"  bare {NUM_STEPS / own:.1f} steps/s, over HTTP {NUM_STEPS / own * off:.1f},", end="")
    print(f" with a preview every 5 steps {NUM_STEPS / own * on:.1f}")
    print(f"  {NUM_AT_ONCE} pictures in a row {row_s:.2f} s, at once {once_s:.2f} s")
    print(f"  a text's median gap between tokens {alone:.2f} ms, beside a picture {both:.2f} ms")
    limit = 1.0 if torch.cuda.is_available() else 0.95
    results = [
        bar("over HTTP over bare, steps per second, no previews", off, ">=", 0.95),
        bar("the same with a preview every 5 steps", on, ">=", 0.92),
        bar("four at once over four in a row", row_s / once_s, ">=", limit),
        bar("a text's median gap beside a picture, change", (both / alone - 1) * 100, "<=", 25, " %"),
    ]
    print(f"{sum(results)} of {len(results)} bars met")


def main(flags: list[str]) -> None:
    bare = Bare(flags)
    try:
        with sluice("--threads", "1", *flags) as server:
            asyncio.run(measure(server.url, bare))
    finally:
        bare.close()


if __name__ == "__main__":
    main(sys.argv[1:])
