"""Training: each step is one batch of texts of like length, drawn from the grammar by the step's number."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

from workers.embedded.training import descent
from workers.embedded.training.descent import adam
from workers.embedded.training.opinions.corpus import LABELS, first_texts, texts
from workers.embedded.training.opinions.tokens import CONTEXT, with_dropped_merges
from workers.embedded.training.schedule import Done, Schedule

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Plan(Schedule):
    """How long and how fast to learn; a chunk is `chunk` batches of `batch` texts, sorted by length."""

    batch: int = 64
    # The share of the steps that see short texts only.
    short: float = 0.3
    chunk: int = 50
    warmup: int = 150
    floor: float = 0.01
    weight_decay: float = 0.05
    smoothing: float = 0.05
    masked: float = 0.01
    seed: int = 4000


def build_model(vocabulary: int, seed: int) -> DistilBertForSequenceClassification:
    """A fresh DistilBERT of three layers and 160 hidden, about 1.4 million parameters."""
    torch.manual_seed(seed)
    config = DistilBertConfig(
        vocab_size=vocabulary,
        max_position_embeddings=CONTEXT,
        dim=160,
        n_layers=3,
        n_heads=5,
        hidden_dim=480,
        dropout=0.03,
        attention_dropout=0.03,
        seq_classif_dropout=0.03,
        pad_token_id=0,
        id2label=dict(enumerate(LABELS)),
        label2id={label: at for at, label in enumerate(LABELS)},
    )
    return DistilBertForSequenceClassification(config)


def chunk(tokenizer: Tokenizer, plan: Plan, number: int) -> list[Batch]:
    """The batches of one chunk: ids [B, T] int64 padded with 0, labels [B] int64."""
    draw = first_texts if number * plan.chunk < plan.short * plan.steps else texts
    drawn = list(islice(draw(plan.seed + number), plan.batch * plan.chunk))
    rows = [row.ids for row in tokenizer.encode_batch([text for text, _ in drawn])]
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
    starts = list(range(0, len(rows), plan.batch))
    Random(plan.seed + number).shuffle(starts)
    return [_batch(rows, drawn, order[start : start + plan.batch]) for start in starts]


def _batch(rows: list[list[int]], drawn: list[tuple[str, int]], at: list[int]) -> Batch:
    longest = max(len(rows[n]) for n in at)
    ids = torch.tensor([rows[n] + [0] * (longest - len(rows[n])) for n in at])
    return ids, torch.tensor([drawn[n][1] for n in at])


def loss_of(
    model: DistilBertForSequenceClassification, batch: Batch, plan: Plan, mask_id: int
) -> torch.Tensor:
    """Mean loss in nats; a few tokens are masked, so that no single one decides."""
    ids, labels = batch
    hidden = (torch.rand(ids.shape) < plan.masked) & (ids >= 5)
    attention = (ids != 0).long()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=ids.masked_fill(hidden, mask_id), attention_mask=attention).logits
    return cross_entropy(logits.float(), labels, label_smoothing=plan.smoothing)


def train(
    model: DistilBertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
) -> Done:
    """Trains from the checkpoint, if there is one, to the plan's end."""
    chunks = lru_cache(maxsize=1)(partial(chunk, with_dropped_merges(tokenizer), plan))
    groups = [{"params": list(model.parameters()), "weight_decay": plan.weight_decay}]

    def loss_at(step: int) -> tuple[torch.Tensor, int]:
        number, at = divmod(step, plan.chunk)
        batch = chunks(number)[at]
        return loss_of(model, batch, plan, tokenizer.mask_token_id), int((batch[0] != 0).sum())

    return descent.train(model, adam(groups, plan, (0.9, 0.98)), plan, loss_at, checkpoint, log)
