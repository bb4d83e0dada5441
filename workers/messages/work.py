"""What a job asks for: a user's validated wishes, ready for the engine."""

from typing import ClassVar

from msgspec import structs

from workers.messages.base import Message, Usage


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
    text comes before the answer's first, and with `top_logprobs` too its tokens are told as the answer's are;
    then `max_tokens` may be 0.
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
    the engine goes on after them and sends only what follows, an echoed prompt no more. Choices in `done` are
    complete.

    Owners are served in equal shares; of one owner's work that with the lowest `priority` is first.
    `adapter` is the name of the one that is to answer; "" for the model itself.
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
    adapter: str = ""

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
