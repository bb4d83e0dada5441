"""`scripts/bench adapters`: what LoRA adapters cost the bare engine loop, eight streams in turns.

The model of `scripts/bench text` and four random adapters of all its layers, of `--rank 16`; every case goes
once in each of `--rounds 12`. Steps are told in the processor's own time, which can be compared on a busy
machine. All other flags go to the engines (`--dtype float32`).
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

from config.command_line import load
from scripts.benchmarks.text_model import model_folder
from tests.models import make_adapter
from workers.engine import Engine
from workers.hub import settle
from workers.messages import ChatMessage, ChatPrompt, Sampling, TextDelta, TextWork
from workers.process import keep_freed_memory
from workers.registry import load_engine

NUM_STREAMS, MAX_TOKENS, NUM_WARM_UPS = 8, 48, 2
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
NAMES = ["a", "b", "c", "d"]


class Figures(NamedTuple):
    tokens_per_s: float
    step_ms: float  # of the processor


def make_engine(flags: list[str], adapters: dict[str, Path]) -> Engine[TextWork]:
    folder = model_folder()
    value = ", ".join(f'{name} = "{path}"' for name, path in adapters.items())
    own = [f"models.{folder.name}.adapters={{{value}}}", f"models.{folder.name}.cache_bytes=200000000"]
    settings = load(["--model", str(folder), *(part for text in own for part in ("--set", text)), *flags], {})
    return load_engine(folder.name, settings.models[folder.name])


def generate(engine: Engine[TextWork], names: list[str], turn: int) -> Figures:
    """`names` of each stream's adapter; no prompt is seen twice."""
    sampling = Sampling(MAX_TOKENS, temperature=0.0, ignore_eos=True)
    began, num_tokens, steps = time.monotonic(), 0, []
    for job_id, name in enumerate(names):
        prompt = f"{turn} times {job_id}: what does this number do at night, when nobody looks, and why?"
        work = TextWork([ChatPrompt([ChatMessage("user", prompt)])], sampling, adapter=name)
        engine.add(job_id, work)
    while engine.has_work():
        began_step = time.thread_time()
        events = engine.step()
        steps.append(time.thread_time() - began_step)
        num_tokens += sum(len(event.token_ids) for event in events if isinstance(event, TextDelta))
    return Figures(num_tokens / (time.monotonic() - began), 1_000 * statistics.median(steps))


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench adapters", description=__doc__)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=12)
    arguments, flags = parser.parse_known_args()
    keep_freed_memory()
    settle()
    with tempfile.TemporaryDirectory() as folder:
        adapters = {
            name: make_adapter(
                Path(folder, name), model_folder(), seed, r=arguments.rank, target_modules=TARGETS
            )
            for seed, name in enumerate(NAMES)
        }
        plain, adapted = make_engine(flags, {}), make_engine(flags, adapters)
    cases = {
        "the base, none loaded": (plain, [""] * NUM_STREAMS),
        "the base, four loaded": (adapted, [""] * NUM_STREAMS),
        "all on one adapter": (adapted, NAMES[:1] * NUM_STREAMS),
        "two on each of four": (adapted, NAMES * 2),
        "four on the base, one on each": (adapted, [""] * 4 + NAMES),
    }
    figures: dict[str, list[Figures]] = {case: [] for case in cases}
    for turn in range(NUM_WARM_UPS + arguments.rounds):
        for place, (case, (engine, names)) in enumerate(cases.items()):
            figures[case].append(generate(engine, names, turn * len(cases) + place))
    report(adapted.limits.description, {case: found[NUM_WARM_UPS:] for case, found in figures.items()})


def report(description: str, figures: dict[str, list[Figures]]) -> None:
    base, *_ = figures.values()
    print(f"{description}; {NUM_STREAMS} streams, medians\n")
    print(f"{'':32}{'tokens/s':>10}{'of the base':>13}{'step, ms of the processor':>28}")
    for case, found in figures.items():
        rate, step_ms = (statistics.median(column) for column in zip(*found, strict=True))
        ratio = statistics.median(own[0] / other[0] for own, other in zip(found, base, strict=True))
        print(f"{case:32}{rate:10.1f}{ratio:13.2f}{step_ms:28.2f}")


if __name__ == "__main__":
    main()
