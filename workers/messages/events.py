"""Events: worker -> service, about one job. Exactly one of Finished and Failed ends each job."""

from workers.messages.base import JobId, Message, Usage
from workers.messages.work import Field


class Accepted(Message, frozen=True, gc=False):
    """The engine has checked the job and will run it. `prompt_tokens` of all its prompts."""

    job_id: JobId
    prompt_tokens: int


class Started(Message, frozen=True, gc=False):
    """The job's first sequence has entered a step: its time in the queue is over."""

    job_id: JobId


class TopLogprob(Message, frozen=True, gc=False):
    """How likely the model found a token, as a natural logarithm. A special token has no bytes, `raw`."""

    text: str
    raw: bytes
    logprob: float


class TokenLogprob(Message, frozen=True, gc=False):
    """The same of a token that was sampled or echoed, and of the likeliest in its place, the best first.

    `offset` counts the characters before its text, of the answer and of an echoed prompt. The first token of
    that has no `logprob`: nothing stands before it.
    """

    text: str
    raw: bytes
    logprob: float | None
    offset: int
    top: list[TopLogprob] = []


class ToolCallPart(Message, frozen=True, gc=False):
    """What is new of a choice's tool call number `call`: at its beginning its id and name, then its
    arguments, the JSON text as the model writes it.
    """

    call: int
    id: str | None
    name: str | None
    arguments: str


class TextDelta(Message, frozen=True, gc=False):
    """Text of one choice that follows what was sent before; never half a character.

    `token_ids` are all tokens sampled since the choice's last event, also those whose text is
    still held back. `num_tokens` counts the choice's tokens so far. `logprobs`, where asked for, are of
    the tokens whose text begins in this one; a token that ends the answer without a text has none.
    """

    job_id: JobId
    index: int
    text: str
    token_ids: list[int]
    num_tokens: int
    logprobs: list[TokenLogprob] = []
    tool_calls: list[ToolCallPart] = []


class ChoiceFinished(Message, frozen=True, gc=False):
    """One choice ended while others of its job go on. The last choice's end is `Finished`."""

    job_id: JobId
    index: int
    reason: str


class Item(Message, frozen=True, gc=False):
    """One result, whole: `value` is its JSON, in one line."""

    job_id: JobId
    value: bytes


class Progress(Message, frozen=True, gc=False):
    """How far the job is: `done` of `total` of its own units. A later one takes its place."""

    job_id: JobId
    done: int
    total: int


class StageStarted(Message, frozen=True, gc=False):
    """A stage of a pipeline has begun to read `inputs`."""

    job_id: JobId
    stage: str
    inputs: list[Field]


class StageProgress(Message, frozen=True, gc=False):
    """One more piece of a stage's input is done: `done` of `total`; `value` is its result's JSON."""

    job_id: JobId
    stage: str
    done: int
    total: int
    value: bytes


class StageResult(Message, frozen=True, gc=False):
    """A stage is done, and took `num_tokens`. `fields` are all of the job's, where the work keeps them."""

    job_id: JobId
    stage: str
    outputs: list[Field]
    fields: list[Field]
    num_tokens: int = 0


class StageFailed(Message, frozen=True, gc=False):
    """A stage could not be done; the job goes on without what it would have made."""

    job_id: JobId
    stage: str
    message: str


class PipelineResult(Message, frozen=True, gc=False):
    """All stages are over; `Finished` follows in the same batch, with the same usage.

    `duration_s` counts from the job's acceptance.
    """

    job_id: JobId
    fields: list[Field]
    duration_s: float
    usage: Usage = Usage()


class ImageStep(Message, frozen=True, gc=False):
    """Step `step` of `total` is done. `previews` has one encoded picture per seed, or none."""

    job_id: JobId
    step: int
    total: int
    previews: list[bytes] = []


class Images(Message, frozen=True, gc=False):
    """All pictures, as their work asked; `Finished` follows in the same batch, with the same usage."""

    job_id: JobId
    images: list[bytes]
    seeds: list[int]
    usage: Usage


class Finished(Message, frozen=True, gc=False):
    """The job ended, and with it the choices in `ended`, for `reason`."""

    job_id: JobId
    reason: str
    usage: Usage
    ended: list[int]


class Failed(Message, frozen=True, gc=False):
    """The job ended in an error; `code` is one of `workers.errors.KINDS`."""

    job_id: JobId
    code: str
    message: str
    param: str | None
    usage: Usage


StageEvent = StageStarted | StageProgress | StageResult | StageFailed | PipelineResult
ImageEvent = ImageStep | Images
JobEnd = Finished | Failed
Event = Accepted | Started | TextDelta | ChoiceFinished | Item | Progress | StageEvent | ImageEvent | JobEnd
