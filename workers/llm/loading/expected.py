"""What a model as it was loaded, or with peft's adapters in it, says to the self-check's tokens."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.llm.loading.probe import PAGED

NUM_TOKENS = 8


def expected_logits(model: PreTrainedModel) -> Tensor:
    """The last token's logits `[V]`, all tokens computed at once by the model's own attention."""
    model.set_attn_implementation("eager")
    input_ids = torch.tensor([check_tokens(model)], device=model.device)
    logits: Tensor = model(input_ids=input_ids, use_cache=False).logits
    model.set_attn_implementation(PAGED)
    return logits[0, -1].float()


def check_tokens(model: PreTrainedModel) -> list[int]:
    step = model.config.get_text_config().vocab_size // 10
    return [step * place for place in range(1, NUM_TOKENS + 1)]
