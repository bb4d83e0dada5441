"""`scripts/train_embedded translation`: tokenizer, training, evaluation, model card."""

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

# Before tokenizers loads: it reads this once.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from transformers import AutoTokenizer

from workers.embedded import TRANSLATION
from workers.embedded.training.seq2seq import Model, build_model, export, shape, train
from workers.embedded.training.seq2seq_feed import Feed, Plan, texts
from workers.embedded.training.seq2seq_tokens import train_tokenizer
from workers.embedded.training.translation.corpus import draw_pair
from workers.embedded.training.translation.glossary import draw_glossary

VOCABULARY, INNER = 3584, 288
MAX_TOKENS, MAX_NEW_TOKENS = 256, 256
# Steps that read word lists before sentences.
PRIMER = 416
_TOKENIZER_SEED, _TOKENIZER_PAIRS = 2, 30_000

_say = partial(print, flush=True)


def prepare(work: Path) -> None:
    """The tokenizer under `work`, made only if it is not there."""
    if not (work / "tokenizer" / "tokenizer.json").exists():
        source = texts(draw_pair, _TOKENIZER_SEED, _TOKENIZER_PAIRS)
        train_tokenizer(source, VOCABULARY, MAX_TOKENS).save_pretrained(work / "tokenizer")


def run_training(work: Path, plan: Plan) -> Model:
    """The trained float32 model; goes on from the checkpoint under `work`."""
    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
    model = build_model(shape(len(tokenizer), INNER), plan.seed)
    done = train(
        model, Feed(draw_pair, tokenizer, plan, primer=draw_glossary), plan, work / "checkpoint.pt", _say
    )
    report = {**done, "pairs": done["step"] * plan.batch_pairs, "threads": torch.get_num_threads()}
    (work / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return model


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_embedded translation", description=__doc__)
    parser.add_argument("--steps", type=int, default=3000, help="updates of 64 pairs each")
    parser.add_argument("--threads", type=int, default=1, help="compute threads")
    parser.add_argument("--work", type=Path, default=Path(".train/translation"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=TRANSLATION, help="the folder to write")
    parser.add_argument("--evaluate-only", action="store_true", help="judge the folder as it is")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Makes, or with `--evaluate-only` only judges, the shipped folder; returns the exit status."""
    arguments = _arguments(argv)
    torch.set_num_threads(arguments.threads)
    if not arguments.evaluate_only:
        prepare(arguments.work)
        model = run_training(arguments.work, Plan(steps=arguments.steps, primer=PRIMER))
        tokenizer = AutoTokenizer.from_pretrained(arguments.work / "tokenizer")
        export(model, tokenizer, arguments.out, MAX_NEW_TOKENS)
    # Imported late: only the last stage needs them.
    from workers.embedded.training.translation.card import write_card
    from workers.embedded.training.translation.evaluate import evaluate

    write_card(arguments.out, arguments.work, evaluate(arguments.out, _say))
    return 0
