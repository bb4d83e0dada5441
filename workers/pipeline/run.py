"""One job: its stages, what they have made so far, and its events in their documented order."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from workers.errors import JobError
from workers.messages import (
    Event,
    Failed,
    Field,
    Finished,
    JobId,
    PipelineResult,
    PipelineWork,
    StageFailed,
    StageResult,
    Started,
    Usage,
)
from workers.pipeline.piece import Outcome, Piece
from workers.pipeline.place import Place, encode
from workers.pipeline.stage import Stage


class Run:
    """A job's way through its stages. Each begins as soon as its input is there; events keep the order
    of the steps: those of a stage that is ahead wait until the stages before it are over.

    Raises JobError for steps that cannot be run.
    """

    def __init__(self, job_id: JobId, work: PipelineWork, stages: Mapping[str, Stage]) -> None:
        self.job_id = job_id
        self.is_over = False
        self._work = work
        self._began_at = time.monotonic()
        self._fields: dict[str, Any] = {field.name: msgspec.json.decode(field.value) for field in work.fields}
        self._places = _places(job_id, work, stages)
        # The places whose events have all been told, and what they have made.
        self._num_told = 0
        self._told_fields = dict(self._fields)

    def begin(self) -> list[Event]:
        """What there is to tell before the first stage."""
        return [Started(self.job_id)]

    def due(self) -> Iterator[tuple[Stage, list[Piece]]]:
        """Begin the stages whose input is there now: their pieces are for their models."""
        for place in self._places:
            if not place.is_begun and place.source in self._fields:
                pieces = place.begin(self._fields[place.source])
                self._note(place)
                yield place.stage, pieces

    def take(self, outcome: Outcome) -> None:
        """Note what came of a piece."""
        place = self._places[outcome.piece.place]
        place.take(outcome)
        self._note(place)

    def tell(self) -> list[Event]:
        """The events that are due, in order; the terminal one makes the run over."""
        events: list[Event] = []
        for place in self._places[self._num_told :]:
            self._fail_without_source(place)
            events += place.events
            place.events = []
            if not place.is_over:
                return events
            self._num_told += 1
            events.append(self._ending_of(place))
            if self.is_over:
                return events
        self.is_over = True
        return [*events, self._result(), Finished(self.job_id, "completed", self.usage(), self._choices())]

    def cancel(self) -> Finished:
        self.is_over = True
        return Finished(self.job_id, "cancelled", self.usage(), self._choices())

    def usage(self) -> Usage:
        """Tokens that were generated, and stages that are done."""
        num_done = sum(place.is_over and place.error is None for place in self._places)
        return Usage(completion_tokens=sum(place.num_tokens for place in self._places), num_items=num_done)

    def _note(self, place: Place) -> None:
        self._fields |= place.outputs

    def _fail_without_source(self, place: Place) -> None:
        """All stages before it are over: what is not there now will never be."""
        if not place.is_begun and place.source not in self._fields:
            place.fail(f"there is no {place.source}: the stage that makes it failed")

    def _ending_of(self, place: Place) -> Event:
        name = place.stage.name
        if place.error is None:
            self._told_fields |= place.outputs
            return StageResult(self.job_id, name, _fields(place.outputs), self._kept(), place.num_tokens)
        if not self._work.stops_at_failure:
            return StageFailed(self.job_id, name, place.error)
        self.is_over = True
        return Failed(self.job_id, "stage_failed", f'stage "{name}": {place.error}', name, self.usage())

    def _result(self) -> PipelineResult:
        return PipelineResult(self.job_id, self._kept(), time.monotonic() - self._began_at, self.usage())

    def _kept(self) -> list[Field]:
        return _fields(self._told_fields) if self._work.keeps_fields else []

    def _choices(self) -> list[int]:
        return list(range(self._work.num_choices))


def _places(job_id: JobId, work: PipelineWork, stages: Mapping[str, Stage]) -> list[Place]:
    known = {field.name for field in work.fields}
    places = []
    for index, name in enumerate(work.steps):
        if name not in stages:
            raise JobError("bad_params", f"step {name!r} is unknown; there is: {', '.join(stages)}", "steps")
        stage = stages[name]
        stage.check(work)
        source = next((name for name in stage.settings.inputs if name in known), None)
        if source is None:
            inputs = " or ".join(stage.settings.inputs)
            message = f"step {name!r} reads {inputs}, which neither the request nor a step before it gives"
            raise JobError("bad_params", message, "steps")
        places.append(Place(job_id, work, index, stage, source))
        known |= set(stage.settings.outputs)
    return places


def _fields(values: Mapping[str, Any]) -> list[Field]:
    return [Field(name, encode(value)) for name, value in values.items()]
