"""`scripts/train_embedded summary`: tokenizer, training, evaluation, model card."""

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

from workers.embedded import SUMMARY
from workers.embedded.training.seq2seq import Model, build_model, export, shape, train
from workers.embedded.training.seq2seq_feed import Feed, Plan, texts
from workers.embedded.training.seq2seq_tokens import train_tokenizer
from workers.embedded.training.summary.corpus import draw_pair, drill

VOCABULARY, INNER = 3584, 288
MAX_TOKENS, MAX_NEW_TOKENS = 512, 160
_TOKENIZER_SEED, _TOKENIZER_PAIRS = 2, 12_000

_say = partial(print, flush=True)


def make_plan(steps: int) -> Plan:
    """The plan of so many steps."""
    sizes = {"batch_pairs": 24, "max_source": MAX_TOKENS, "max_target": MAX_NEW_TOKENS}
    return Plan(steps=steps, drills=300, sort_side=0, **sizes)


def prepare(work: Path) -> None:
    """The tokenizer under `work`, made only if it is not there."""
    if not (work / "tokenizer" / "tokenizer.json").exists():
        source = texts(draw_pair, _TOKENIZER_SEED, _TOKENIZER_PAIRS)
        tokenizer = train_tokenizer(source, VOCABULARY, MAX_TOKENS, begin=True)
        tokenizer.save_pretrained(work / "tokenizer")


def run_training(work: Path, plan: Plan) -> Model:
    """The trained float32 model; goes on from the checkpoint under `work`."""
    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
    model = build_model(shape(len(tokenizer), INNER), plan.seed)
    done = train(model, Feed(draw_pair, tokenizer, plan, drill), plan, work / "checkpoint.pt", _say)
    report = {**done, "pairs": done["step"] * plan.batch_pairs, "threads": torch.get_num_threads()}
    (work / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return model


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_embedded summary", description=__doc__)
    parser.add_argument("--steps", type=int, default=2600, help="updates of 24 pairs each")
    parser.add_argument("--threads", type=int, default=1, help="compute threads")
    parser.add_argument("--work", type=Path, default=Path(".train/summary"), help="checkpoints")
    parser.add_argument("--out", type=Path, default=SUMMARY, help="the folder to write")
    parser.add_argument("--evaluate-only", action="store_true", help="judge the folder as it is")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Makes, or with `--evaluate-only` only judges, the shipped folder; returns the exit status."""
    arguments = _arguments(argv)
    torch.set_num_threads(arguments.threads)
    if not arguments.evaluate_only:
        prepare(arguments.work)
        model = run_training(arguments.work, make_plan(arguments.steps))
        tokenizer = AutoTokenizer.from_pretrained(arguments.work / "tokenizer")
        export(model, tokenizer, arguments.out, MAX_NEW_TOKENS)
    # Imported late: only the last stage needs them.
    from workers.embedded.training.summary.card import write_card
    from workers.embedded.training.summary.evaluate import evaluate

    write_card(arguments.out, arguments.work, evaluate(arguments.out, _say))
    return 0
