"""Training: each step is one batch of texts of like length, drawn from the grammar by the step's number."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast

from workers.embedded.training.opinions.corpus import LABELS, first_texts, texts
from workers.embedded.training.opinions.tokens import CONTEXT, with_dropped_merges
from workers.embedded.training.train import save_checkpoint

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn; a chunk is `chunk` batches of `batch` texts, sorted by length."""

    steps: int
    batch: int = 64
    # The share of the steps that see short texts only.
    short: float = 0.3
    chunk: int = 50
    learning_rate: float = 1e-3
    warmup: int = 150
    weight_decay: float = 0.05
    smoothing: float = 0.05
    masked: float = 0.01
    save_every: int = 250
    seed: int = 4000

    def rate(self, step: int) -> float:
        """Learning rate: a linear warm-up, then a cosine down to nothing."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * share)))


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


class Run:
    """A model in training: restores itself from its checkpoint, takes steps, saves itself."""

    def __init__(self, model: DistilBertForSequenceClassification, plan: Plan, checkpoint: Path) -> None:
        self._model = model
        self._plan = plan
        self._checkpoint = checkpoint
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=plan.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=plan.weight_decay,
            fused=True,
        )
        self.done: dict[str, Any] = {"step": 0, "seconds": 0.0, "loss": math.nan}
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=True)
            model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.done = state["done"]
        self._started = time.monotonic() - self.done["seconds"]
        model.train()

    def step(self, batch: Batch, mask_id: int) -> None:
        """One update on this batch; now and then, and at the end, a checkpoint."""
        step, plan = self.done["step"], self._plan
        for group in self._optimizer.param_groups:
            group["lr"] = plan.rate(step)
        loss = loss_of(self._model, batch, plan, mask_id)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        before = self.done["loss"]
        smooth = loss.item() if math.isnan(before) else 0.98 * before + 0.02 * loss.item()
        self.done = {"step": step + 1, "seconds": time.monotonic() - self._started, "loss": smooth}
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
            self._save()

    def _save(self) -> None:
        model, optimizer = self._model.state_dict(), self._optimizer.state_dict()
        save_checkpoint(self._checkpoint, {"model": model, "optimizer": optimizer, "done": self.done})


def train(
    model: DistilBertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains from the checkpoint, if there is one, to the plan's end; returns steps, seconds, loss."""
    run = Run(model, plan, checkpoint)
    dropping = with_dropped_merges(tokenizer)
    batches: list[Batch] = []
    while run.done["step"] < plan.steps:
        step = run.done["step"]
        if step % plan.chunk == 0 or not batches:
            batches = chunk(dropping, plan, step // plan.chunk)
        run.step(batches[step % plan.chunk], tokenizer.mask_token_id)
        if (step + 1) % 100 == 0:
            log(f"step {step + 1}/{plan.steps} loss {run.done['loss']:.4f} after {run.done['seconds']:.0f} s")
    return run.done
