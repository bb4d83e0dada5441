"""Asks of a loaded model whether computing in chunks gives what computing at once gives."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.detokenizer import Detokenizer
from workers.errors import LoadError
from workers.llm.adapters.adapter import Adapter
from workers.llm.answers.sequence import Answer, Job, Sequence
from workers.llm.loading.expected import NUM_TOKENS, check_tokens
from workers.llm.scheduling.chunks import Chunk
from workers.llm.steps.batch import Batch
from workers.llm.steps.runner import Runner
from workers.messages import Sampling

# Share of the logits' spread. Other arithmetic moved it by under 1e-5 in float32; a state that is lost
# between chunks moves it by about 1.
TOLERANCES = {torch.float32: 0.01}
HALF_TOLERANCE = 0.25

CHUNKS = (5, 2, NUM_TOKENS - 7)


def check_chunks(model: PreTrainedModel, runner: Runner, block_tokens: int, expected: Tensor) -> None:
    """Raises LoadError for a model that keeps more from token to token than keys and values.

    The cache must have room for 8 tokens in its first blocks.
    """
    error = _error(_in_chunks(runner, check_tokens(model), block_tokens), expected)
    if not error < TOLERANCES.get(model.dtype, HALF_TOLERANCE):
        what = f"computed in chunks its logits are off by {error:.0%}"
        raise LoadError(f"{type(model).__name__} is not supported: {what}")


def check_adapter(
    model: PreTrainedModel, runner: Runner, block_tokens: int, numbered: tuple[int, Adapter]
) -> None:
    """The same of the model with an adapter, held against what peft says. Raises LoadError."""
    number, adapter = numbered
    error = _error(_in_chunks(runner, check_tokens(model), block_tokens, number), adapter.expected)
    if not error < TOLERANCES.get(model.dtype, HALF_TOLERANCE):
        what = f"its logits are off by {error:.0%} from peft's"
        raise LoadError(f'adapter "{adapter.name}" of a {type(model).__name__} is not supported: {what}')


def _error(found: Tensor, expected: Tensor) -> float:
    """As a share of the logits' spread."""
    return float((found - expected).norm() / (expected - expected.mean()).norm().clamp(min=1e-6))


def _in_chunks(runner: Runner, token_ids: list[int], block_tokens: int, adapter: int = 0) -> Tensor:
    answer = Answer(Detokenizer(lambda _: "", frozenset(), []), [])
    sequence = Sequence(Job(0, Sampling(1)), 0, token_ids, answer)
    sequence.job.adapter = adapter
    sequence.block_table = list(range(-(-len(token_ids) // block_tokens)))
    for num_tokens in CHUNKS:
        logits = runner.run(Batch([Chunk(sequence, num_tokens)], block_tokens))
        sequence.num_cached_tokens += num_tokens
    return logits[0].float()
