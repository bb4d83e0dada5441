"""Reports: worker -> service, about itself."""

from workers.messages.base import Message
from workers.messages.events import Event


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
