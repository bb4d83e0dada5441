"""A step on its way: given to the device when it is made, read once its tokens are drawn."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from workers.llm.answers.logprobs import Likelihood, Likelihoods
from workers.llm.forms.grammar import FormRow, allow
from workers.llm.sampling.sampler import sample
from workers.llm.scheduling.chunks import Chunk
from workers.llm.steps.batch import Batch
from workers.llm.steps.carry import Carry
from workers.llm.steps.readout import begin_readout
from workers.llm.steps.runner import Runner
from workers.llm.steps.upload import upload


class Drawn(NamedTuple):
    token_id: int
    likelihood: Likelihood | None


class Flight:
    """`ids [S']` are on the device: drawn for the batch's sampled places. Of a step that reads prompts the
    `logits` are kept, for the rows that `batch.reads` names."""

    def __init__(self, runner: Runner, batch: Batch, carry: Carry | None = None) -> None:
        self.batch = batch
        self._readout = begin_readout(runner.device)
        logits = runner.run(batch, carry)
        self.logits = logits if batch.reads else None
        if batch.reads:
            (rows,) = upload([batch.drawn_rows], runner.device)
            logits = logits.index_select(0, rows)
        chunks = batch.sampled_chunks
        self._asked = [(chunk.sequence, i) for chunk in chunks for i in range(1 + len(chunk.drafts))]
        self.ids = self._draw(logits) if chunks else logits.new_empty(0, dtype=torch.int64)
        self._readout.send(self.ids)

    def _draw(self, logits: Tensor) -> Tensor:
        draws = [sequence.draw(num_ahead) for sequence, num_ahead in self._asked]
        self._likelihoods = Likelihoods(logits, draws)
        allow(logits, [FormRow(row, s.form) for row, (s, _) in enumerate(self._asked) if s.form is not None])
        return sample(logits, draws)

    def read(self) -> Iterator[tuple[Chunk, list[Drawn]]]:
        """Each chunk with what was drawn behind its last token and its drafts, if its last was computed."""
        token_ids = self._readout.read()
        likelihoods = self._likelihoods.of(token_ids) if token_ids else {}
        drawn = iter([Drawn(token_id, likelihoods.get(row)) for row, token_id in enumerate(token_ids)])
        num_drawn = {id(chunk): 1 + len(chunk.drafts) for chunk in self.batch.sampled_chunks}
        for chunk in self.batch.chunks:
            yield chunk, list(islice(drawn, num_drawn.get(id(chunk), 0)))

    @property
    def step_s(self) -> float:
        """What the device took; once it was read."""
        return self._readout.step_s
