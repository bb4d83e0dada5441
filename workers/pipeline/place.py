"""One stage's part in one job: its pieces, their results, and what there is to tell of them."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from workers.messages import Event, Field, JobId, PipelineWork, StageProgress, StageStarted, TextDelta
from workers.pipeline.model import complain
from workers.pipeline.piece import Broke, Made, Outcome, Piece, Text
from workers.pipeline.stage import BETWEEN, Stage

T = TypeVar("T")

encode = msgspec.json.Encoder().encode


class Place:
    """A stage at its place in a job's steps; `source` names the input that it reads there.

    `events` are those not yet told, in order: results are told in the order of the pieces, whichever
    is done first.
    """

    def __init__(self, job_id: JobId, work: PipelineWork, index: int, stage: Stage, source: str) -> None:
        self.stage = stage
        self.source = source
        self.is_begun = False
        self.is_over = False
        self.error: str | None = None
        self.outputs: dict[str, Any] = {}
        self.num_tokens = 0
        self.events: list[Event] = []
        self._job_id = job_id
        self._work = work
        self._index = index
        self._values: list[Any] = []
        self._results: dict[int, Any] = {}
        self._texts: dict[int, list[Text]] = {}
        self._num_told = 0
        self._said = -1

    def begin(self, value: Any) -> list[Piece]:
        """The pieces of the input, for the stage's model."""
        self.is_begun = True
        self.events.append(StageStarted(self._job_id, self.stage.name, self._inputs(value)))
        self._values = self._try(lambda: self.stage.pieces(value, self._work)) or []
        self._end_if_done()
        return [self._piece(index, value) for index, value in enumerate(self._values)]

    def take(self, outcome: Outcome) -> None:
        """Note what came of a piece. Nothing is noted once the stage is over."""
        if self.is_over:
            return
        match outcome:
            case Made(piece, value, num_tokens):
                self.num_tokens += num_tokens
                self._results[piece.index] = value
                self._tell()
                self._end_if_done()
            case Text(piece):
                self._texts.setdefault(piece.index, []).append(outcome)
                self._tell()
            case Broke(_, error):
                self.fail(error)

    def fail(self, error: str) -> None:
        self.is_begun = self.is_over = True
        self.error = error

    def _inputs(self, value: Any) -> list[Field]:
        """Only who is told all fields is told the inputs, too."""
        return [Field(self.source, encode(value))] if self._work.keeps_fields else []

    def _piece(self, index: int, value: Any) -> Piece:
        return Piece(self._job_id, self._index, index, value, self._work, self.stage.model.measure(value))

    def _tell(self) -> None:
        """Whatever is due: the text of the first piece that is not done, the results of those before."""
        while True:
            index = self._num_told
            for text in self._texts.pop(index, []):
                self._tell_text(index, text)
            if index not in self._results:
                return
            self._num_told += 1
            shown = self.stage.show(self._values[index], self._results[index])
            if shown is not None:
                num_pieces, value = len(self._values), encode(shown)
                progress = StageProgress(self._job_id, self.stage.name, self._num_told, num_pieces, value)
                self.events.append(progress)

    def _tell_text(self, index: int, text: Text) -> None:
        """Between two pieces' texts stands what `merge` puts between them."""
        between = BETWEEN if 0 <= self._said < index else ""
        self._said = index
        num_tokens = self.num_tokens + text.num_tokens
        self.events.append(TextDelta(self._job_id, self._index, between + text.text, [], num_tokens))

    def _end_if_done(self) -> None:
        if self.is_over or len(self._results) < len(self._values):
            return
        results = [self._results[index] for index in range(len(self._values))]
        made = self._try(lambda: self.stage.merge(self._values, results))
        if made is not None:
            self.is_over = True
            self.outputs = dict(zip(self.stage.settings.outputs, made, strict=False))

    def _try(self, do: Callable[[], T]) -> T | None:
        """What a stage makes of its input; an exception is the stage's failure, not the engine's."""
        try:
            return do()
        except Exception as error:
            self.fail(complain(error, self._job_id, self.stage.name))
            return None
