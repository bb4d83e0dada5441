"""`scripts/train_embedded language`: corpus, tokenizer, training, evaluation, model card."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

# Before torch and tokenizers load: they read these once.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from workers.embedded import LANGUAGE
from workers.embedded.training.corpus import documents
from workers.embedded.training.flags import read_flags
from workers.embedded.training.tokens import (
    CONTEXT,
    encode,
    read_tokens,
    repeats,
    train_tokenizer,
    write_tokens,
)
from workers.embedded.training.train import Plan, build_model, train

# First random tokens said twice, then half drills: they teach to look words up and keep at it, which
# stories alone do only much later.
REPEAT_SEED, REPEAT_TOKENS = 3, 500_000
DRILL_SEED, DRILL_SHARE, DRILL_TOKENS = 4, 0.5, 1_000_000
CORPUS_SEED, CORPUS_TOKENS = 1, 2_000_000
# Stories are long: in the last part short answers get the larger share of the documents.
TALK_SEED, TALK_DRILL_SHARE, TALK_SHARE = 6, 0.06, 0.65
TOKENIZER_SEED = 2
TOKENIZER_DOCUMENTS = 20_000

_say = partial(print, flush=True)


def shape(vocabulary: int) -> LlamaConfig:
    """4.5 million parameters: 9 MB in bfloat16."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=5,
    )


def prepare(work: Path, num_tokens: int) -> None:
    """The tokenizer and the row of token ids under `work`, made only if they are not there."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "tokenizer" / "tokenizer.json").exists():
        train_tokenizer(TOKENIZER_SEED, TOKENIZER_DOCUMENTS).save_pretrained(work / "tokenizer")
    path = work / "tokens.bin"
    if not path.exists() or path.stat().st_size != 2 * num_tokens:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
        again = repeats(REPEAT_SEED, REPEAT_TOKENS, len(tokenizer))
        drills = encode(tokenizer, documents(DRILL_SEED, DRILL_SHARE), DRILL_TOKENS)
        corpus = encode(tokenizer, documents(CORPUS_SEED), CORPUS_TOKENS)
        left = max(0, num_tokens - len(again) - len(drills) - len(corpus))
        talk = encode(tokenizer, documents(TALK_SEED, TALK_DRILL_SHARE, TALK_SHARE), left)
        write_tokens(np.concatenate([again, drills, corpus, talk])[:num_tokens], path)


def run_training(work: Path, plan: Plan) -> LlamaForCausalLM:
    """The trained float32 model; goes on from the checkpoint under `work`."""
    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
    model = build_model(shape(len(tokenizer)), plan.seed)
    done = train(model, read_tokens(work / "tokens.bin"), plan, work / "checkpoint.pt", _say)
    report = {**done, "threads": torch.get_num_threads()}
    (work / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return model


def export(work: Path, model: LlamaForCausalLM, out: Path) -> None:
    """Weights in bfloat16, tokenizer and generation settings, as transformers loads them."""
    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
    model.config._attn_implementation = "sdpa"
    model.bfloat16().save_pretrained(out)
    tokenizer.save_pretrained(out)
    GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=0.7,
        top_p=0.95,
        max_new_tokens=400,
    ).save_pretrained(out)


def main(argv: Sequence[str]) -> int:
    """Makes, or with `--evaluate-only` only judges, the shipped folder; returns the exit status."""
    arguments = read_flags(argv, LANGUAGE, 6750, "1,024 tokens")
    torch.set_num_threads(arguments.threads)
    if not arguments.evaluate_only:
        plan = Plan(steps=arguments.steps)
        prepare(arguments.work, plan.steps * plan.batch_tokens)
        export(arguments.work, run_training(arguments.work, plan), arguments.out)
    # Imported late: only the last stage needs them.
    from workers.embedded.training.card import write_card
    from workers.embedded.training.evaluate import evaluate

    write_card(arguments.out, arguments.work, evaluate(arguments.out, _say))
    return 0
