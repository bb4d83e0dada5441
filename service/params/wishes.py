"""What every text route's params come to: the same wishes, whatever the API's words."""

from msgspec import Struct

from workers.messages import Form, Prompt, TokenBias


class SamplingWishes(Struct, frozen=True):
    """How tokens are to be chosen. No seed means a random one."""

    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
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


class Wishes(Struct, frozen=True):
    """`max_tokens_field` and `bad_status` say how this API names and refuses a bad count."""

    model: str
    prompts: list[Prompt]
    sampling: SamplingWishes
    max_tokens: int | None
    n: int = 1
    provider: str = "local"
    max_tokens_field: str = "max_tokens"
    bad_status: int = 422
    priority: int = 0
    form: Form | None = None
