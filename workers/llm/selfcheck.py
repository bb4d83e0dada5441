"""Asks of a loaded model whether computing in chunks gives what computing at once gives."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.detokenizer import Detokenizer
from workers.errors import LoadError
from workers.llm.batch import Batch
from workers.llm.chunks import Chunk
from workers.llm.probe import PAGED
from workers.llm.runner import Runner
from workers.llm.sequence import Answer, Job, Sequence
from workers.messages import Sampling

# Share of the logits' spread. Other arithmetic moved it by under 1e-5 in float32; a state that is lost
# between chunks moves it by about 1.
TOLERANCES = {torch.float32: 0.01}
HALF_TOLERANCE = 0.25

CHUNKS = (5, 2, 1)


def expected_logits(model: PreTrainedModel) -> Tensor:
    """What the model as it was loaded says to the check's tokens, computed at once."""
    return _at_once(model, _token_ids(model))


def check_chunks(model: PreTrainedModel, runner: Runner, block_tokens: int, expected: Tensor) -> None:
    """Raises LoadError for a model that keeps more from token to token than keys and values.

    The cache must have room for 8 tokens in its first blocks.
    """
    found = _in_chunks(runner, _token_ids(model), block_tokens)
    error = (found - expected).norm() / (expected - expected.mean()).norm().clamp(min=1e-6)
    if not error < TOLERANCES.get(model.dtype, HALF_TOLERANCE):
        what = f"computed in chunks its logits are off by {float(error):.0%}"
        raise LoadError(f"{type(model).__name__} is not supported: {what}")


def _token_ids(model: PreTrainedModel) -> list[int]:
    step = model.config.get_text_config().vocab_size // 10
    return [step * place for place in range(1, sum(CHUNKS) + 1)]


def _at_once(model: PreTrainedModel, token_ids: list[int]) -> Tensor:
    model.set_attn_implementation("eager")
    logits: Tensor = model(input_ids=torch.tensor([token_ids], device=model.device), use_cache=False).logits
    model.set_attn_implementation(PAGED)
    return logits[0, -1].float()


def _in_chunks(runner: Runner, token_ids: list[int], block_tokens: int) -> Tensor:
    answer = Answer(Detokenizer(lambda _: "", frozenset(), []), [])
    sequence = Sequence(Job(0, Sampling(1)), 0, token_ids, answer)
    sequence.block_table = list(range(-(-len(token_ids) // block_tokens)))
    for num_tokens in CHUNKS:
        logits = runner.run(Batch([Chunk(sequence, num_tokens)], block_tokens))
        sequence.num_cached_tokens += num_tokens
    return logits[0].float()
