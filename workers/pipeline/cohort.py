"""Pieces that one model writes for together: rows of a batch that leave it one by one."""

from msgspec import Struct

from workers.detokenizer import Detokenizer
from workers.messages import JobId
from workers.pipeline.choosing import Rules
from workers.pipeline.decoders import Decoding
from workers.pipeline.model import broke
from workers.pipeline.piece import Made, Outcome, Piece, Text


class Row(Struct, eq=False):
    """What is written for one piece. The first tokens are `forced`: the model is told, not asked."""

    piece: Piece
    prompt: list[int]
    forced: list[int]
    detokenizer: Detokenizer
    token_ids: list[int] = []
    text: str = ""
    shown: str = ""
    is_over: bool = False

    def put(self, token_id: int, is_end: bool, is_last: bool) -> list[Outcome]:
        """Note the next token. White space at the answer's beginning and end is no part of it."""
        self.token_ids.append(token_id)
        self.is_over = is_end or is_last
        if not is_end:
            self.text += self.detokenizer.push(token_id)
        if self.is_over:
            self.text += self.detokenizer.flush()
        shown = self.text.strip()
        new, self.shown = shown[len(self.shown) :], shown
        told: list[Outcome] = []
        if new and self.piece.work.streams_text:
            told.append(Text(self.piece, new, len(self.token_ids)))
        if self.is_over:
            told.append(Made(self.piece, shown, len(self.token_ids)))
        return told


class Cohort:
    """Rows that began together. One that begins again is told the tokens that it has, and goes on."""

    def __init__(self, rows: list[Row], decoding: Decoding, rules: Rules) -> None:
        self._rows = rows
        self._decoding = decoding
        self._rules = rules
        self._processors = rules.begin(decoding)
        self._chosen: list[int] = []
        self._num_steps = 0

    @property
    def rows(self) -> list[Row]:
        """Those that are not over."""
        return [row for row in self._rows if not row.is_over]

    @property
    def is_over(self) -> bool:
        return all(row.is_over for row in self._rows)

    def step(self) -> list[Outcome]:
        """One token for each row.

        Where it raises, no row has taken a token: all can begin again and miss nothing.
        """
        self._go_on()
        self._chosen = self._rules.choose(self._decoding, self._processors)
        told: list[Outcome] = []
        for place, row in enumerate(self._rows):
            known = row.forced[self._num_steps :] or row.token_ids[self._num_steps :]
            if known:
                self._chosen[place] = known[0]
            if self._num_steps == len(row.token_ids):
                told += self._put(row, self._chosen[place])
        self._num_steps += 1
        return told

    def drop(self, job_id: JobId) -> None:
        """The job's rows are over, and gone before the next step computes anything."""
        for row in self._rows:
            row.is_over = row.is_over or row.piece.job_id == job_id

    def _go_on(self) -> None:
        """Append what was chosen last, and free the rows that are over."""
        if self._chosen:
            self._decoding.append(self._chosen)
            self._chosen = []
        places = [place for place, row in enumerate(self._rows) if not row.is_over]
        if len(places) < len(self._rows):
            self._decoding.keep(places)
            self._rows = [self._rows[place] for place in places]
            self._processors = self._rules.begin(self._decoding)

    def _put(self, row: Row, token_id: int) -> list[Outcome]:
        try:
            is_last = len(row.token_ids) + 1 == self._rules.max_new_tokens
            return row.put(token_id, token_id in self._rules.eos_ids, is_last)
        except Exception as error:
            row.is_over = True
            return [broke(row.piece, error)]
