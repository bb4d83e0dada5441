"""Pieces that one model writes for together: rows of a batch that leave it one by one."""

from msgspec import Struct

from workers.detokenizer import Detokenizer
from workers.pipeline.choosing import Rules
from workers.pipeline.decoders import Decoding
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

    def put(self, token_id: int, is_end: bool, is_last: bool) -> list[Outcome]:
        """Note the next token. White space at the answer's beginning and end is no part of it."""
        self.token_ids.append(token_id)
        if not is_end:
            self.text += self.detokenizer.push(token_id)
        if is_end or is_last:
            self.text += self.detokenizer.flush()
        shown = self.text.strip()
        new, self.shown = shown[len(self.shown) :], shown
        told: list[Outcome] = []
        if new and self.piece.work.streams_text:
            told.append(Text(self.piece, new, len(self.token_ids)))
        if is_end or is_last:
            told.append(Made(self.piece, shown, len(self.token_ids)))
        return told


class Cohort:
    """Rows that began together. One that begins again is told the tokens that it has, and goes on."""

    def __init__(self, rows: list[Row], decoding: Decoding, rules: Rules) -> None:
        self.rows = rows
        self._decoding = decoding
        self._rules = rules
        self._processors = rules.begin(decoding.token_ids.shape[1])
        self._num_steps = 0

    def step(self) -> list[Outcome]:
        """One token for each row; rows that have ended leave."""
        chosen = self._rules.choose(self._decoding, self._processors)
        told: list[Outcome] = []
        going: list[int] = []
        for place, row in enumerate(self.rows):
            given = row.forced[self._num_steps :] or row.token_ids[self._num_steps :]
            token_id = chosen[place] = given[0] if given else chosen[place]
            if self._num_steps == len(row.token_ids):
                is_end = token_id in self._rules.eos_ids
                told += row.put(token_id, is_end, self._num_steps + 1 == self._rules.max_new_tokens)
            if not (told and isinstance(told[-1], Made) and told[-1].piece is row.piece):
                going.append(place)
        self._num_steps += 1
        self._decoding.append(chosen)
        self._keep(going)
        return told

    def drop(self, job_id: int) -> None:
        self._keep([place for place, row in enumerate(self.rows) if row.piece.job_id != job_id])

    def _keep(self, places: list[int]) -> None:
        if len(places) < len(self.rows):
            self.rows = [self.rows[place] for place in places]
            if places:
                self._decoding.keep(places)
