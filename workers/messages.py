"""Every message that crosses the boundary between the service and a worker.

A closed union of frozen structs: strings, numbers, bytes, lists and other messages. Encoded as
msgpack arrays, because field names would triple the bytes of a token event.
"""

from typing import ClassVar

from msgspec import Struct, msgpack, structs

JobId = int


class Message(Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Base of all messages; the tag is the class name."""


class Usage(Message, frozen=True, gc=False):
    """What a job has used and made so far; `cached_tokens` of its prompts' had been computed for others."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    num_items: int = 0
    cached_tokens: int = 0


# What a job asks for: a user's validated wishes, ready for the engine.


class ToolCall(Message, frozen=True, gc=False):
    """A call that an earlier answer made; `arguments` as the model wrote them, JSON if all went well."""

    id: str
    name: str
    arguments: str


class ChatMessage(Message, frozen=True, gc=False):
    """An assistant's may have made calls; a tool's answers the call of that id."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class ChatPrompt(Message, frozen=True, gc=False):
    """Messages to be laid out by the model's own chat template.

    Where they do not fit its context the oldest exchanges are left out if it `trims`; else that is an error.
    `tools` are JSON objects as the OpenAI API has them; the answer's calls are told apart from its text.
    """

    messages: list[ChatMessage]
    trims: bool = False
    tools: list[bytes] = []


class TextPrompt(Message, frozen=True, gc=False):
    """Text that the model is to continue as it stands."""

    text: str


class TokenPrompt(Message, frozen=True, gc=False):
    """Token ids that the model is to continue."""

    token_ids: list[int]


Prompt = ChatPrompt | TextPrompt | TokenPrompt


class TokenBias(Message, frozen=True, gc=False):
    """What is added to a token's logit."""

    token_id: int
    bias: float


class Sampling(Message, frozen=True, gc=False):
    """How each next token is chosen. Temperature 0 is greedy; top_k 0 and top_p 1 are off.

    The penalties for presence and frequency are taken off the logits of tokens that the answer has, once
    or for each time; repetition_penalty divides those of the prompt's too, 1 is off. With `top_logprobs`
    each token is told with its likelihood and those of so many others, the likeliest.

    An answer ends after one of `stop_token_ids`, as after an end token unless it is to `ignore_eos`. None of
    these comes before `min_tokens`, and a stop string counts only after them. With `echo` the prompt's own
    text comes before the answer's first.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    stop: list[str] = []
    ignore_eos: bool = False
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: list[TokenBias] = []
    top_logprobs: int | None = None
    min_tokens: int = 0
    stop_token_ids: list[int] = []
    echo: bool = False


class JsonForm(Message, frozen=True, gc=False):
    """The answer has to be JSON that fits this JSON schema."""

    schema: bytes


class CallForm(Message, frozen=True, gc=False):
    """The answer has to be a call of one of the prompt's tools: of these, or of any where none is named."""

    names: list[str]


Form = JsonForm | CallForm


class TextWork(Message, frozen=True, gc=False):
    """Answers to prompts: choice `p * n + i` is answer i to prompt p.

    `generated` holds, per choice, the token ids that a lost worker had already sent (or is empty):
    the engine goes on after them and sends only what follows. Choices in `done` are complete.

    Owners are served in equal shares; of one owner's work that with the lowest `priority` is first.
    """

    unit: ClassVar[str] = "tokens"

    prompts: list[Prompt]
    sampling: Sampling
    n: int = 1
    generated: list[list[int]] = []
    done: list[int] = []
    owner: str = ""
    priority: int = 0
    form: Form | None = None

    @property
    def num_choices(self) -> int:
        return len(self.prompts) * self.n

    def num_made(self, usage: Usage) -> int:
        return usage.completion_tokens

    def rest(self, generated: list[list[int]], done: list[int]) -> "TextWork":
        return structs.replace(self, generated=generated, done=done)

    def emptied(self) -> "TextWork":
        return structs.replace(self, prompts=[], generated=[])


class TaskWork(Message, frozen=True, gc=False):
    """One call of a user's task; `params` is the JSON that its own params are read from."""

    unit: ClassVar[str] = "items"
    num_choices: ClassVar[int] = 0

    name: str
    params: bytes

    def num_made(self, usage: Usage) -> int:
        return usage.num_items

    def rest(self, generated: list[list[int]], done: list[int]) -> "TaskWork":  # noqa: ARG002
        return self

    def emptied(self) -> "TaskWork":
        return TaskWork(self.name, b"")


class Field(Message, frozen=True, gc=False):
    """A named value between a pipeline's stages; `value` is its JSON, in one line."""

    name: str
    value: bytes


class PipelineWork(Message, frozen=True, gc=False):
    """Stages to run on `fields`, in the order of `steps`, which is also the order of their events.

    With `stops_at_failure` a failing stage fails the job; else the others go on. With `keeps_fields`
    each result carries all fields so far; with `streams_text` text is sent while it is generated, as
    that of the choice which is the stage's place in `steps`.
    """

    unit: ClassVar[str] = "stages"

    steps: list[str]
    fields: list[Field]
    chunk_size: int = 0
    target_language: str = ""
    stops_at_failure: bool = False
    keeps_fields: bool = False
    streams_text: bool = False

    @property
    def num_choices(self) -> int:
        return len(self.steps)

    def num_made(self, usage: Usage) -> int:
        return usage.num_items

    def rest(self, generated: list[list[int]], done: list[int]) -> "PipelineWork":  # noqa: ARG002
        return self

    def emptied(self) -> "PipelineWork":
        return structs.replace(self, fields=[])


class ImageWork(Message, frozen=True, gc=False):
    """Pictures of one prompt: picture i is made from `seeds[i]`, `width` x `height` pixels.

    After each of the steps in `preview_steps`, counted from 1, comes a preview of every picture, made as
    `preview` says: `linear`, `tiny` or `full`. `image_format` is jpeg, png or webp; `quality`, 1 to 100,
    is that of the final pictures where the format has one.
    """

    unit: ClassVar[str] = "steps"
    num_choices: ClassVar[int] = 0

    prompt: str
    seeds: list[int]
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    negative_prompt: str = ""
    preview_steps: list[int] = []
    preview: str = "linear"
    image_format: str = "jpeg"
    quality: int = 85

    def num_made(self, usage: Usage) -> int:
        return usage.num_items

    def rest(self, generated: list[list[int]], done: list[int]) -> "ImageWork":  # noqa: ARG002
        return self

    def emptied(self) -> "ImageWork":
        return structs.replace(self, prompt="", negative_prompt="")


# Each kind of work says of itself what the service asks: in which `unit` its results are counted and
# how many a usage has of it (`num_made`); its `num_choices`; what of it is left for another worker
# (`rest`); and what is kept of it once the job has ended (`emptied`).
Work = TextWork | TaskWork | PipelineWork | ImageWork


# Commands: service -> worker.


class Submit(Message, frozen=True, gc=False):
    job_id: JobId
    work: Work


class Cancel(Message, frozen=True, gc=False):
    job_id: JobId


class Pause(Message, frozen=True, gc=False):
    job_id: JobId


class Resume(Message, frozen=True, gc=False):
    job_id: JobId


class Drain(Message, frozen=True, gc=False):
    """Finish what runs, then leave."""


class Stop(Message, frozen=True, gc=False):
    """Leave now."""


Command = Submit | Cancel | Pause | Resume | Drain | Stop


# Events: worker -> service, about one job. Exactly one of Finished and Failed ends each job.


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
    """The same of a token that was sampled, and of the likeliest in its place, the best first.

    `offset` counts the characters before its text, of the answer and of an echoed prompt.
    """

    text: str
    raw: bytes
    logprob: float
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


# Reports: worker -> service, about itself.


class TaskSpec(Message, frozen=True, gc=False):
    """A task that a worker runs; `schema` is its params' JSON schema, self-contained, as JSON."""

    name: str
    description: str
    schema: bytes


class StageSpec(Message, frozen=True, gc=False):
    """A stage that a worker runs, and what it is made with."""

    name: str
    kind: str
    inputs: list[str]
    outputs: list[str]
    model: str


class ImageLimits(Message, frozen=True, gc=False):
    """An image model's own size and steps, and what it can do.

    Sides are multiples of `size_multiple`, up to `max_side`.
    """

    width: int
    height: int
    size_multiple: int
    max_side: int
    num_inference_steps: int
    guidance_scale: float
    previews: list[str]


class Limits(Message, frozen=True, gc=False):
    """What the loaded model can take, and the tasks or stages it runs. 0 tokens means without limit."""

    max_model_len: int
    max_num_seqs: int
    vocab_size: int
    has_chat_template: bool
    description: str
    tasks: list[TaskSpec] = []
    stages: list[StageSpec] = []
    image: ImageLimits | None = None


class Ready(Message, frozen=True, gc=False):
    limits: Limits


class Stats(Message, frozen=True, gc=False):
    """An engine's gauges; `cache_usage` is the used share, 0 to 1. Prompts had `num_shared_tokens` computed
    before, for others. Of `num_drafted_tokens` guesses so many were accepted.
    """

    num_running: int = 0
    num_waiting: int = 0
    num_paused: int = 0
    num_steps: int = 0
    num_preemptions: int = 0
    cache_usage: float = 0.0
    num_shared_tokens: int = 0
    num_drafted_tokens: int = 0
    num_accepted_tokens: int = 0


class Heartbeat(Message, frozen=True, gc=False):
    stats: Stats


class EventBatch(Message, frozen=True, gc=False):
    """What one engine step produced."""

    events: list[Event]


class Bye(Message, frozen=True, gc=False):
    """The worker leaves. `error` says why it had to, in one line; None when it was asked to."""

    error: str | None


Report = Ready | EventBatch | Heartbeat | Bye

encode = msgpack.Encoder().encode
decode_command = msgpack.Decoder(Command).decode
decode_report = msgpack.Decoder(Report).decode
