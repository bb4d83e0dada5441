"""What the trained model can do, measured on prompts and text that the training never saw."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from workers.embedded.training.grammar import repeats_a_sentence
from workers.embedded.training.prompts import (
    SAMPLES,
    SEED,
    Prompt,
    held_out_prompts,
    new_documents,
    pair_documents,
)

# A LlamaForCausalLM and its tokenizer: transformers' own annotations do not admit their common use.
Model: TypeAlias = Any
Tokenizer: TypeAlias = Any

MAX_NEW_TOKENS = 400
NUM_NEW_DOCUMENTS, NUM_PAIR_DOCUMENTS = 400, 200
_BATCH = 40


@dataclass(frozen=True)
class Answer:
    """One answer: the text, whether the model ended it, and how many tokens it took."""

    prompt: Prompt
    text: str
    has_ended: bool
    num_tokens: int


@dataclass(frozen=True)
class Figures:
    """Shares of the held-out prompts, 0 to 1, under one way of choosing tokens."""

    num_prompts: int
    ended: float
    no_repeat: float
    clean: float
    stories_met: float
    questions_met: float
    mean_tokens: float


@dataclass(frozen=True)
class Evaluation:
    """All that the model card tells."""

    perplexity_new: float
    perplexity_pairs: float
    greedy: Figures
    sampled: Figures
    samples: list[tuple[str, str]]


def load(folder: Path) -> tuple[Model, Tokenizer]:
    """The model in float32 and its tokenizer, loaded as anyone would load them."""
    model: Model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def answers(model: Model, tokenizer: Tokenizer, prompts: Sequence[Prompt], greedy: bool) -> list[Answer]:
    """One answer for each prompt, at most 400 tokens long; sampling at temperature 0.7 is seeded."""
    torch.manual_seed(SEED)
    how = {"do_sample": False, "temperature": None, "top_p": None} if greedy else {"do_sample": True}
    found: list[Answer] = []
    for at in range(0, len(prompts), _BATCH):
        some = prompts[at : at + _BATCH]
        chats = [[{"role": "user", "content": prompt.text}] for prompt in some]
        rows = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        out = model.generate(**rows, **how, max_new_tokens=MAX_NEW_TOKENS)
        new = out[:, rows["input_ids"].shape[1] :].tolist()
        found += [_answer(tokenizer, prompt, ids) for prompt, ids in zip(some, new, strict=True)]
    return found


def _answer(tokenizer: Tokenizer, prompt: Prompt, ids: list[int]) -> Answer:
    has_ended = tokenizer.eos_token_id in ids
    kept = ids[: ids.index(tokenizer.eos_token_id)] if has_ended else ids
    return Answer(prompt, tokenizer.decode(kept, skip_special_tokens=True), has_ended, len(kept))


def figures(given: Sequence[Answer]) -> Figures:
    """The shares over these answers."""
    stories = [one for one in given if one.prompt.is_story]
    questions = [one for one in given if not one.prompt.is_story]
    fresh = [not repeats_a_sentence(one.text) for one in given]
    return Figures(
        num_prompts=len(given),
        ended=_mean([one.has_ended for one in given]),
        no_repeat=_mean(fresh),
        clean=_mean([one.has_ended and new for one, new in zip(given, fresh, strict=True)]),
        stories_met=_mean([one.prompt.is_met(one.text) for one in stories]),
        questions_met=_mean([one.prompt.is_met(one.text) for one in questions]),
        mean_tokens=_mean([one.num_tokens for one in given]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@torch.inference_mode()
def perplexity(model: Model, tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """exp of the mean loss per token over these documents, each read on its own."""
    total, count = 0.0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[:, :1024]
        loss = model(input_ids=ids, labels=ids).loss
        total += loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    return math.exp(total / count)


def evaluate(folder: Path, log: Callable[[str], None] = print) -> Evaluation:
    """Measures the model in this folder; about three minutes on one thread."""
    model, tokenizer = load(folder)
    prompts = held_out_prompts()
    by_name = {}
    for name, greedy in (("greedy", True), ("temperature 0.7", False)):
        by_name[name] = figures(answers(model, tokenizer, prompts, greedy))
        log(f"{name}: {by_name[name]}")
    wanted = [Prompt(text, (), is_story=False) for text in SAMPLES]
    said = answers(model, tokenizer, wanted, greedy=True)
    new, pairs = (
        perplexity(model, tokenizer, texts)
        for texts in (new_documents(NUM_NEW_DOCUMENTS), pair_documents(NUM_PAIR_DOCUMENTS))
    )
    log(f"perplexity: new documents {new:.3f}, stories of held-out pairs {pairs:.3f}")
    samples = [(one.prompt.text, one.text) for one in said]
    return Evaluation(new, pairs, by_name["greedy"], by_name["temperature 0.7"], samples)
