"""A stream's events: what workers send, and what only the service can say."""

from msgspec import Struct

from workers.messages import (
    Event,
    Failed,
    Finished,
    Images,
    ImageStep,
    Item,
    JobId,
    PipelineResult,
    StageProgress,
    StageResult,
    StageStarted,
    TextDelta,
)

# What a logged likelihood occupies: struct, text, bytes and number, as measured.
LOGPROB_BYTES = 208
# What a logged piece of a tool call occupies beside its text.
CALL_BYTES = 200


class Retrying(Struct, frozen=True, gc=False):
    """The job's worker was lost; the job goes on elsewhere, from where it was, after a pause."""

    job_id: JobId
    attempt: int
    max_retries: int
    error: str


class Silence(Struct, frozen=True, gc=False):
    """A feed has had nothing to say for so long; it goes on."""

    job_id: JobId
    duration_s: float


StreamEvent = Event | Retrying | Silence
Terminal = Finished | Failed


def reason_of(terminal: Terminal) -> str:
    """The contract's typed reason: `worker_lost` keeps its name, other failures are `error`."""
    if isinstance(terminal, Finished):
        return terminal.reason
    return "worker_lost" if terminal.code == "worker_lost" else "error"


def num_value_bytes(event: StreamEvent) -> int:
    """The bytes of the values that an event carries."""
    match event:
        case Item() | StageProgress():
            return len(event.value)
        case ImageStep() | Images():
            return sum(len(picture) for picture in pictures_of(event))
        case StageStarted():
            fields = event.inputs
        case StageResult():
            fields = event.outputs + event.fields
        case PipelineResult():
            fields = event.fields
        case _:
            return 0
    return sum(len(field.value) for field in fields)


def num_text_bytes(delta: TextDelta) -> int:
    """What a text event carries: its text and, where they were asked for, its tokens' likelihoods."""
    num_entries = sum(1 + len(token.top) for token in delta.logprobs)
    num_call_chars = sum(len(part.arguments) + CALL_BYTES for part in delta.tool_calls)
    return len(delta.text) + LOGPROB_BYTES * num_entries + num_call_chars


def pictures_of(event: StreamEvent) -> list[bytes]:
    """The encoded pictures that an event carries: previews, or the final ones."""
    match event:
        case ImageStep():
            return event.previews
        case Images():
            return event.images
        case _:
            return []


def join(deltas: list[TextDelta]) -> TextDelta:
    """One event in place of consecutive ones of the same choice; it counts as the last of them."""
    last = deltas[-1]
    text = "".join([delta.text for delta in deltas])
    token_ids = [token_id for delta in deltas for token_id in delta.token_ids]
    logprobs = [token for delta in deltas for token in delta.logprobs]
    calls = [part for delta in deltas for part in delta.tool_calls]
    return TextDelta(last.job_id, last.index, text, token_ids, last.num_tokens, logprobs, calls)
