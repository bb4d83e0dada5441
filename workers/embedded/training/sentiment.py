"""`scripts/train_embedded sentiment`: text, tokenizer, training, evaluation, model card."""

import json
import os
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

# Before torch and tokenizers load: they read these once.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from transformers import AutoTokenizer, DistilBertForSequenceClassification, PreTrainedTokenizerFast

from workers.embedded import SENTIMENT
from workers.embedded.training.flags import read_flags
from workers.embedded.training.opinions.corpus import texts
from workers.embedded.training.opinions.heldout import leaks
from workers.embedded.training.opinions.judge import evaluate
from workers.embedded.training.opinions.tokens import train_tokenizer
from workers.embedded.training.opinions.train import Plan, build_model, train

TOKENIZER_SEED, TOKENIZER_TEXTS = 2, 60_000
MODEL_SEED = 21

_say = partial(print, flush=True)


def prepare(work: Path, plan: Plan) -> None:
    """The tokenizer under `work`, if it is not there; refuses text that shows what is held out."""
    found = leaks(text for text, _ in islice(texts(plan.seed), 20_000))
    if found:
        raise RuntimeError(f"held-out words in the training text: {sorted(found)}")
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "tokenizer" / "tokenizer.json").exists():
        train_tokenizer(TOKENIZER_SEED, TOKENIZER_TEXTS).save_pretrained(work / "tokenizer")


def run_training(work: Path, plan: Plan) -> DistilBertForSequenceClassification:
    """The trained float32 model; goes on from the checkpoint under `work`."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    model = build_model(len(tokenizer), MODEL_SEED)
    done = train(model, tokenizer, plan, work / "checkpoint.pt", _say)
    report = {**done, "texts": done["step"] * plan.batch, "threads": torch.get_num_threads()}
    (work / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return model


def export(work: Path, model: DistilBertForSequenceClassification, out: Path) -> None:
    """Weights in bfloat16, tokenizer and the record of the run, as transformers loads them."""
    model.bfloat16().save_pretrained(out)
    AutoTokenizer.from_pretrained(work / "tokenizer").save_pretrained(out)
    (out / "training.json").write_bytes((work / "training.json").read_bytes())


def main(argv: Sequence[str]) -> int:
    """Makes, or with `--evaluate-only` only judges, the shipped folder; returns the exit status."""
    arguments = read_flags(argv, SENTIMENT, 6400, "64 texts")
    torch.set_num_threads(arguments.threads)
    if not arguments.evaluate_only:
        plan = Plan(steps=arguments.steps)
        prepare(arguments.work, plan)
        export(arguments.work, run_training(arguments.work, plan), arguments.out)
    # Imported late: only the last stage needs it.
    from workers.embedded.training.opinions.card import write_card

    write_card(arguments.out, evaluate(arguments.out, _say))
    return 0
