"""`scripts/bench text`: tokens per second through HTTP, beside the bare engine loop and other servers.

The same model, prompts and lengths, greedy, one compute thread each, in turns within one run; who is not
measured is stopped meanwhile. `transformers serve` runs where its extra `serving` is installed (or
`--transformers PYTHON` names a Python that has it), llama.cpp's server where `--llama-server PATH` does.
All other flags go to the service and to the bare loop (`--model FOLDER`, `--dtype float32`). At the end come
the bars of `text_prompts.py` and `text_answers.py`.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from typing import Any, NamedTuple

from transformers import AutoTokenizer

from scripts.benchmarks import load, text_prompts
from scripts.benchmarks.report import bar, percentile
from scripts.benchmarks.servers import Paused, llama_server, sluice, transformers_server
from scripts.benchmarks.text_model import gguf_file, model_folder, prompts

BATCHES, MAX_TOKENS = (1, 8, 32), 48
# Over `transformers serve` of the same dtype; over llama.cpp's server in bfloat16, by streams.
TRANSFORMERS_BAR, LLAMA_BARS = 2.5, {1: 0.7, 8: 1.0, 32: 1.3}
HTTP_BAR, LINEARS_BARS = 0.95, {1: 1.5, 32: 1.35}

Rates = dict[str, float]


class Bare:
    """The bare engine loop in its own process."""

    def __init__(self, flags: list[str]) -> None:
        command = [sys.executable, "-m", "scripts.benchmarks.bare", *flags]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.description = self._answer()["description"]

    def __enter__(self) -> "Bare":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, texts: list[str]) -> dict[str, float]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"prompts": texts, "max_tokens": MAX_TOKENS}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


class Served(NamedTuple):
    """Tokens per second of all streams together, and all inter-token latencies in seconds."""

    rate: float
    itls: list[float]


def ask(url: str, texts: list[str], model: str | None = None) -> Served:
    bodies = []
    for text in texts:
        body: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "max_tokens": MAX_TOKENS}
        body |= {"temperature": 0, "ignore_eos": True, "stream": True}
        body |= {"stream_options": {"include_usage": True}, "cache_prompt": False}
        if model is not None:
            # transformers reads all but the prompt from here.
            greedy = json.dumps({"do_sample": False, "eos_token_id": -1, "max_new_tokens": MAX_TOKENS})
            body = {"model": model, "messages": body["messages"], "stream": True, "generation_config": greedy}
        bodies.append(body)
    seen = load.run({"url": f"{url}/v1/chat/completions", "bodies": bodies})
    for tail in seen["tails"]:
        assert f'"completion_tokens":{MAX_TOKENS}' in tail.replace(" ", ""), tail
    return Served(len(texts) * MAX_TOKENS / seen["read_s"], seen["itls"])


Contestants = dict[str, Callable[[list[str]], Served]]


def measure(bare: Bare, contestants: Contestants, rounds_of_texts: list[list[str]]) -> dict[str, list[Any]]:
    """One warm-up, then each in turn: the rounds of each, `bare` among them."""
    rounds: dict[str, list[Any]] = {name: [] for name in ("bare", *contestants)}
    for number, texts in enumerate(rounds_of_texts):
        turn = {"bare": bare.run(texts)} | {name: go(texts) for name, go in contestants.items()}
        if number:
            for name, result in turn.items():
                rounds[name].append(result)
    return rounds


def judge(num_streams: int, rounds: dict[str, list[Any]]) -> list[bool]:
    """Print what was seen at so many streams; the bars that are met."""
    steps = [(r["step_s"], r["linears_s"]) for r in rounds["bare"]]
    step_ms, linears_ms = (statistics.median(part) * 1e3 for part in zip(*steps, strict=True))
    alone = [r["tokens_per_s"] for r in rounds["bare"]]
    print(f"{num_streams} streams: bare {statistics.median(alone):.1f} tokens/s,", end=" ")
    print(f"a step {step_ms:.2f} ms, its linears alone {linears_ms:.2f} ms")
    for name, results in rounds.items():
        if name != "bare":
            itls = [itl * 1e3 for r in results for itl in r.itls]
            rate, p50, p99 = (
                statistics.median(r.rate for r in results),
                percentile(itls, 0.5),
                percentile(itls, 0.99),
            )
            print(f"  {name:22} {rate:7.1f} tokens/s; inter-token p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    ours = [r.rate for r in rounds["sluice"]]
    bars = [bar("HTTP over bare", _ratio(ours, alone), ">=", HTTP_BAR)]
    if limit := LINEARS_BARS.get(num_streams):
        bars.append(
            bar("bare step over its linears", statistics.median(s / f for s, f in steps), "<=", limit)
        )
    for name, results in rounds.items():
        if name not in ("bare", "sluice"):
            limit = LLAMA_BARS[num_streams] if name.startswith("llama") else TRANSFORMERS_BAR
            bars.append(bar(f"over {name}", _ratio(ours, [r.rate for r in results]), ">=", limit))
    return bars


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def main(argv: list[str]) -> None:
    options = argparse.ArgumentParser(prog="scripts/bench text", description=__doc__)
    options.add_argument("--transformers", default=sys.executable)
    options.add_argument("--llama-server")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--model", default=str(model_folder()))
    own, flags = options.parse_known_args(argv)
    flags = ["--model", own.model, *flags]
    with ExitStack() as stack:
        bare = stack.enter_context(Bare(flags))
        ours = stack.enter_context(sluice("--threads", "1", *flags))
        contestants: Contestants = {"sluice": lambda texts: ask(ours.url, texts)}
        add_peers(stack, contestants, own, bare.description)
        print(
            f"{bare.description}; {MAX_TOKENS} tokens a stream, greedy, median of {own.rounds} rounds",
            flush=True,
        )
        # Nobody sees a prompt twice: nothing may come from a cache of prompts.
        supply = iter(prompts(AutoTokenizer.from_pretrained(own.model), (own.rounds + 1) * sum(BATCHES)))
        results = []
        for num_streams in BATCHES:
            texts = [list(islice(supply, num_streams)) for _ in range(own.rounds + 1)]
            results += judge(num_streams, measure(bare, contestants, texts))
    results += text_prompts.run(flags)
    print(f"{sum(results)} of {len(results)} bars met")


def add_peers(stack: ExitStack, contestants: Contestants, own: argparse.Namespace, description: str) -> None:
    """Start the peers that are there; say which are not."""
    dtype = "bfloat16" if "bfloat16" in description else "float32"
    if (peer := transformers_server(own.transformers, own.model, dtype)) is None:
        print("not run: transformers serve (install transformers[serving], or --transformers PYTHON)")
    else:
        theirs = stack.enter_context(peer)
        contestants["transformers serve"] = _in_turn(theirs, own.model)
    if own.llama_server is None:
        print("not run: llama.cpp's server (--llama-server PATH)")
    else:
        file = gguf_file(model_folder())
        contestants["llama-server bf16"] = _in_turn(
            stack.enter_context(llama_server(own.llama_server, file)), None
        )


def _in_turn(server: Paused, model: str | None) -> Callable[[list[str]], Served]:
    def go(texts: list[str]) -> Served:
        with server:
            return ask(server.url, texts, model)

    return go


if __name__ == "__main__":
    main(sys.argv[1:])
