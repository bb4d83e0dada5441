"""One step through a model, to learn what its modules are called with, and to try others in their places."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workers.detokenizer import Detokenizer
from workers.llm.answers.sequence import Answer, Job, Sequence
from workers.llm.scheduling.chunks import Chunk
from workers.llm.steps.batch import Batch
from workers.llm.steps.runner import Runner
from workers.messages import Sampling

# Far enough for what changes with the position (llama 4 scales from 8,192 on), near enough to be quick.
MAX_POSITION = 9000
NUM_TOKENS = 6
# Share of a row's size by which other arithmetic may differ.
TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.05}


class Call(NamedTuple):
    arguments: tuple[Any, ...]
    named: dict[str, Any]

    def of(self, module: Callable[..., Any]) -> Any:
        return module(*self.arguments, **self.named)


def make_batch(vocab_size: int, max_model_len: int, block_tokens: int) -> Batch:
    """Two sequences, one at its beginning and one far on; all their blocks are the cache's first."""
    last = min(max_model_len, MAX_POSITION)
    starts = sorted({0, max(0, last - NUM_TOKENS)})
    size = min(NUM_TOKENS, last)
    return Batch([_chunk(start, size, vocab_size, block_tokens) for start in starts], block_tokens)


def _chunk(start: int, size: int, vocab_size: int, block_tokens: int) -> Chunk:
    token_ids = [(7 * place + 3) % vocab_size for place in range(start + size)]
    answer = Answer(Detokenizer(lambda _: "", frozenset(), []), [])
    sequence = Sequence(Job(0, Sampling(1)), 0, token_ids, answer)
    sequence.num_cached_tokens = start
    sequence.block_table = [0] * -(-len(token_ids) // block_tokens)
    return Chunk(sequence, size)


def record(runner: Runner, batch: Batch, modules: list[nn.Module]) -> dict[nn.Module, Call]:
    """The last call of each module that is called in the step."""
    calls: dict[nn.Module, Call] = {}
    with _hooks(modules, calls):
        runner.run(batch)
    return calls


@contextmanager
def _hooks(modules: list[nn.Module], calls: dict[nn.Module, Call]) -> Iterator[None]:
    def note(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        calls[module] = Call(arguments, named)

    hooks = [module.register_forward_pre_hook(note, with_kwargs=True) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def is_alike(found: Tensor, expected: Tensor) -> bool:
    """Whether two outputs `[..., T, D]` are the same but for rounding, row by row."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    sizes = expected.float().norm(dim=-1)
    errors = (found.float() - expected.float()).norm(dim=-1)
    return bool((errors <= TOLERANCES[expected.dtype] * sizes).all())
