"""Tiny models, made once per run, and what `generate` says to them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.models import make_model

Generate = Callable[[str, list[int], int], list[int]]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of the tiny model of a family."""
    return cache(lambda family: make_model(tmp_path_factory.mktemp(family), family))


@pytest.fixture(scope="session")
def llama(model_folder: Callable[[str], Path]) -> Path:
    return model_folder("llama")


@pytest.fixture(scope="session")
def generate(model_folder: Callable[[str], Path]) -> Generate:
    """transformers' own greedy answer of so many tokens, end tokens ignored."""

    @cache
    def model_of(family: str) -> PreTrainedModel:
        model = AutoModelForCausalLM.from_pretrained(model_folder(family))
        model.generation_config.eos_token_id = None
        model.generation_config.pad_token_id = 0
        return model

    def run(family: str, prompt: list[int], num_tokens: int) -> list[int]:
        input_ids = torch.tensor([prompt])
        mask = torch.ones_like(input_ids)
        output = model_of(family).generate(
            input_ids, attention_mask=mask, do_sample=False, max_new_tokens=num_tokens
        )
        return output[0, len(prompt) :].tolist()

    return run
