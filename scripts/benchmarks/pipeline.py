"""`scripts/bench pipeline`: texts at once over the same texts in a row, and the time to the first event.

Sixteen reports, each of its own, go through `/process-stream` with all sections, on one compute thread.
The two ways take turns within one run. Flags go to the service (`--set models.pipeline.device=cuda`).
"""

import asyncio
import json
import statistics
import sys
import time
from random import Random
from typing import Any, NamedTuple

import aiohttp
import torch

from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import sluice
from workers.embedded.training.summary.corpus import draw_pair

NUM_TEXTS, NUM_CHARS, NUM_ROUNDS, NUM_FIRSTS = 16, 1_200, 7, 40
IDLE_S = 0.1
# What no two runs have in common.
OWN = {"timestamp", "total_processing_time", "message", "stream_id"}


class Answer(NamedTuple):
    """What one text's stream said, and after how many seconds its first event came."""

    events: list[dict[str, Any]]
    first_s: float


def make_texts() -> list[str]:
    """Reports, one after the other, until a text is long enough."""
    texts = []
    for seed in range(NUM_TEXTS):
        dice, text = Random(f"bench {seed}"), ""
        while len(text) < NUM_CHARS:
            text += draw_pair(dice)[0] + "\n"
        texts.append(text[:5_000].strip())
    return texts


async def ask(session: aiohttp.ClientSession, text: str) -> Answer:
    began, first_s = time.monotonic(), 0.0
    lines = []
    async with session.post("/process-stream", json={"text": text, "include_entities": True}) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            first_s = first_s or time.monotonic() - began
            lines.append(line)
    return Answer([json.loads(line) for line in lines], first_s)


async def in_a_row(session: aiohttp.ClientSession, texts: list[str]) -> list[Answer]:
    return [await ask(session, text) for text in texts]


async def at_once(session: aiohttp.ClientSession, texts: list[str]) -> list[Answer]:
    return await asyncio.gather(*(ask(session, text) for text in texts))


async def timed(doing: Any) -> tuple[float, list[Answer]]:
    began = time.monotonic()
    answers = await doing
    return time.monotonic() - began, answers


def said(answers: list[Answer]) -> list[list[dict[str, Any]]]:
    """All that was answered: labels, texts, places, and numbers to three digits."""
    for answer in answers:
        statuses = [event["status"] for event in answer.events]
        assert statuses[-1] == "completed", statuses
        assert not [status for status in statuses if status.endswith("error")], statuses
    return [[_rounded(event) for event in answer.events] for answer in answers]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items() if name not in OWN}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


async def measure(url: str) -> None:
    texts = make_texts()
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
        await in_a_row(session, texts), await at_once(session, texts)
        rounds, answers = [], []
        for _ in range(NUM_ROUNDS):
            row_s, row = await timed(in_a_row(session, texts))
            once_s, once = await timed(at_once(session, texts))
            rounds.append((row_s, once_s))
            answers.append(said(row) == said(once))
        firsts = []
        for text in (texts * NUM_FIRSTS)[:NUM_FIRSTS]:
            await asyncio.sleep(IDLE_S)
            firsts.append((await ask(session, text)).first_s * 1e3)
    row_s, once_s = (statistics.median(times) for times in zip(*rounds, strict=True))
    num_chars = sum(map(len, texts))
    print(f"{NUM_TEXTS} texts, {num_chars} characters, median of {NUM_ROUNDS} rounds")
    print(f"  in a row {row_s:.3f} s, at once {once_s:.3f} s: {num_chars / once_s:,.0f} characters/s at once")
    print(f"  first event at idle: p50 {percentile(firsts, 0.5):.1f} ms, largest {max(firsts):.1f} ms")
    limit = 1.5 if torch.cuda.is_available() else 1.2
    results = [
        bar("at once over in a row", statistics.median(a / b for a, b in rounds), ">=", limit),
        bar("rounds with the same answers", sum(answers) / len(answers), ">=", 1.0),
        bar("first event at idle, p99", percentile(firsts, 0.99), "<=", 50, " ms"),
    ]
    print(f"{sum(results)} of {len(results)} bars met")


def main(flags: list[str]) -> None:
    with sluice("--threads", "1", *flags) as server:
        asyncio.run(measure(server.url))


if __name__ == "__main__":
    main(sys.argv[1:])
