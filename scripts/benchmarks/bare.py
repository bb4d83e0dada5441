"""The bare engine loop of `scripts/bench text`: one process, no pipes, no service.

Reads orders on standard input, each a line of JSON `{"prompts": [...], "max_tokens": 48}`, and answers
each with one: `tokens_per_s` of all together, and the medians of `step_s`, a step in which all decode,
and `linears_s`, the linear layers of such a step alone.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import nn

from config.command_line import load
from workers.engine import Engine
from workers.llm.engine import LlmEngine
from workers.llm.kernels.packing import products
from workers.llm.kernels.products import Product
from workers.messages import ChatMessage, ChatPrompt, Sampling, TextDelta, TextWork
from workers.process import keep_freed_memory
from workers.registry import load_engine

NUM_TIMES = 15


def generate(engine: Engine[TextWork], prompts: list[str], max_tokens: int) -> tuple[float, float]:
    """Tokens per second, and the median seconds of a step in which every sequence got one token."""
    sampling = Sampling(max_tokens, temperature=0.0, ignore_eos=True)
    began, num_tokens, steps = time.monotonic(), 0, []
    for job_id, prompt in enumerate(prompts):
        engine.add(job_id, TextWork([ChatPrompt([ChatMessage("user", prompt)])], sampling))
    while engine.has_work():
        began_step = time.monotonic()
        events = engine.step()
        steps.append(time.monotonic() - began_step)
        num_tokens += sum(len(event.token_ids) for event in events if isinstance(event, TextDelta))
    return num_tokens / (time.monotonic() - began), statistics.median(steps)


def linears_of(model: nn.Module) -> list[Callable[[int], object]]:
    """Each product of a step as a call with a number of rows, in the order of the model."""
    return [_call(product) for product in products(model)]


def _call(product: nn.Module) -> Callable[[int], object]:
    assert isinstance(product, Product | nn.Linear)
    num_inputs = product.in_features
    # Packed weights may have another dtype than what they are multiplied with.
    dtype = product.dtype if isinstance(product, Product) else product.weight.dtype
    return lambda num_rows: product(torch.ones(1, num_rows, num_inputs, dtype=dtype))


@torch.inference_mode()
def seconds(linears: list[Callable[[int], object]], num_rows: int) -> float:
    times = []
    for _ in range(NUM_TIMES):
        began = time.monotonic()
        for linear in linears:
            linear(num_rows)
        times.append(time.monotonic() - began)
    return statistics.median(times)


def main(flags: list[str]) -> None:
    keep_freed_memory()
    settings = load(flags, {})
    name, model = next(iter(settings.models.items()))
    engine = load_engine(name, model)
    assert isinstance(engine, LlmEngine)
    linears = linears_of(engine._flights._runner._model)
    print(json.dumps({"description": engine.limits.description}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        rate, step_s = generate(engine, order["prompts"], order["max_tokens"])
        linears_s = seconds(linears, len(order["prompts"]))
        print(json.dumps({"tokens_per_s": rate, "step_s": step_s, "linears_s": linears_s}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
