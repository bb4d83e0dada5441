"""Every setting's type and limit. The values live in `default.toml`, and only there.

A field has no default here: a setting that `default.toml` does not list cannot exist, so the
file that operators read is always complete. (Providers are the exception, as the file ships none,
and what only some kinds of stage have.)
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

SECRET = {"secret": True}

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
NumBytes = Annotated[int, Meta(ge=1_024, le=1 << 40)]
Name = Annotated[str, Meta(pattern=r"^[\w.:/-]{1,128}$")]
Secret = Annotated[str, Meta(extra=SECRET)]


class HttpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=0, le=65_535)]
    max_body_bytes: NumBytes
    keepalive_interval_s: Seconds
    write_timeout_s: Seconds
    send_buffer_bytes: NumBytes
    retry_ms: Annotated[int, Meta(ge=0, le=3_600_000)]
    drain_timeout_s: Annotated[float, Meta(ge=0, le=86_400)]
    cors_origins: list[str]


class SocketSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_sockets: Positive
    max_sockets_per_key: Positive
    max_messages_per_s: Annotated[float, Meta(ge=1, le=1_000_000)]
    max_message_bytes: NumBytes
    max_unsent_bytes: NumBytes
    low_unsent_bytes: NumBytes
    stall_timeout_s: Seconds
    ping_interval_s: Seconds
    silence_timeout_s: Seconds
    compress: bool
    same_client: Literal["refuse", "take_over"]


class AuthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keys: Annotated[dict[str, str], Meta(extra=SECRET)]
    keys_file: str
    allow_query_token: bool


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_streams_per_key: Positive
    max_prompt_chars: Positive
    max_messages: Positive
    max_choices: Annotated[int, Meta(ge=1, le=128)]
    max_prompts: Annotated[int, Meta(ge=1, le=1_024)]
    max_text_chars: Positive
    max_items: Positive
    max_image_prompt_chars: Positive
    max_images: Annotated[int, Meta(ge=1, le=64)]
    max_steps: Annotated[int, Meta(ge=1, le=1_000)]
    default_max_tokens: Positive
    max_timeout_s: Seconds


class StreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    join_unread_bytes: NumBytes
    max_unread_bytes: NumBytes
    low_unread_bytes: NumBytes
    stall_timeout_s: Seconds
    max_log_bytes: NumBytes
    max_total_log_bytes: NumBytes
    resume_ttl: Seconds
    retention_s: Seconds
    max_finished: Positive
    retry_backoff_s: Seconds


class ChatSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_sessions: Positive
    max_chars: Positive
    max_waiting: Annotated[int, Meta(ge=1, le=1_000)]
    session_ttl_s: Seconds


class DocumentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_documents: Positive
    max_open: Positive
    ttl_s: Annotated[float, Meta(gt=0, le=3_153_600_000)]
    save_interval_s: Annotated[float, Meta(ge=0.01, le=3_600)]
    max_chars: Positive
    max_parts: Annotated[int, Meta(ge=1, le=100_000)]
    max_history: Annotated[int, Meta(ge=1, le=1_000_000)]
    max_history_chars: Positive
    max_transform_steps: Positive
    max_yjs_bytes: NumBytes
    yjs_text: Name


class StoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Literal["memory", "sqlite"]
    path: str
    flush_interval_s: Annotated[float, Meta(ge=0.01, le=3_600)]
    max_bytes: NumBytes
    max_value_bytes: NumBytes
    max_unsaved_bytes: NumBytes


class FeedSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`names`: each feed's name and what it tells; the first is the default."""

    names: dict[Name, Literal["figures", "endings"]]
    interval_s: Annotated[float, Meta(ge=0.01, le=3_600)]
    buffer_items: Annotated[int, Meta(ge=1, le=1_000)]
    timeout_s: Annotated[float, Meta(ge=0.01, le=3_600)]


class WorkerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    threads: Annotated[int, Meta(ge=0, le=1_024)]
    heartbeat_s: Seconds
    hang_timeout_s: Seconds
    load_timeout_s: Seconds
    stop_timeout_s: Seconds
    restart_backoff_s: Seconds
    max_restart_backoff_s: Seconds
    max_unsent_bytes: NumBytes


class StageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage of a pipeline.

    It reads the first of `inputs` that the request or an earlier step gives, and names what it makes
    `outputs`, in the order that its kind makes it.
    """

    kind: Literal["preprocessing", "chunking", "items", "sentiment", "entities", "summary", "translation"]
    inputs: Annotated[list[str], Meta(min_length=1)]
    outputs: Annotated[list[str], Meta(min_length=1)]
    model: str = ""
    labels: dict[str, str] = {}
    languages: list[str] = []
    prompt: str = ""
    max_new_tokens: Annotated[int, Meta(ge=1, le=4_096)] = 128


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model and the worker processes that serve it."""

    engine: Literal["llm", "echo", "tasks", "pipeline", "diffusion"]
    path: Annotated[str, Meta(min_length=1)]
    num_workers: Annotated[int, Meta(ge=1, le=256)]
    nice: Annotated[int, Meta(ge=0, le=19)]
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
    revision: str
    trust_remote_code: bool
    max_model_len: Count
    max_num_seqs: Annotated[int, Meta(ge=1, le=4_096)]
    max_batched_tokens: Annotated[int, Meta(ge=1, le=1_000_000)]
    max_waiting: Positive
    cache_bytes: Annotated[int, Meta(ge=0, le=1 << 44)]
    block_tokens: Annotated[int, Meta(ge=0, le=1_024)]
    prefix_cache: bool
    max_slowdown: Annotated[float, Meta(ge=0, le=1_000)]
    speculation: Literal["off", "prompt_lookup"]
    num_draft_tokens: Annotated[int, Meta(ge=1, le=64)]
    kernels: Literal["auto", "off"]
    cuda_graphs: bool
    adapters: Annotated[dict[Name, Annotated[str, Meta(min_length=1)]], Meta(max_length=64)]
    max_adapter_rank: Annotated[int, Meta(ge=1, le=1_024)]
    step_ahead: Literal["auto", "on", "off"]
    steps: Annotated[list[Name], Meta(min_length=1, max_length=64)]
    stages: dict[Name, StageSettings]
    image_steps: Annotated[int, Meta(ge=1, le=1_000)]
    guidance_scale: Annotated[float, Meta(ge=0, le=100)]
    max_image_side: Annotated[int, Meta(ge=0, le=16_384)]
    preview: Literal["linear", "tiny", "full"]
    preview_path: str
    preview_side: Annotated[int, Meta(ge=16, le=4_096)]

    @property
    def is_text(self) -> bool:
        """Whether it answers prompts."""
        return self.engine in ("llm", "echo")


class ProviderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An upstream API that `provider` on `/chat/stream` may name."""

    kind: Literal["openai", "anthropic"]
    base_url: Annotated[str, Meta(pattern=r"^https?://")]
    api_key: Secret = ""
    api_key_file: str = ""
    models: list[str] = []
    max_history_chars: Positive = 16_000


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    format: Literal["auto", "text", "json"]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    http: HttpSettings
    sockets: SocketSettings
    auth: AuthSettings
    limits: LimitSettings
    streams: StreamSettings
    chat: ChatSettings
    documents: DocumentSettings
    store: StoreSettings
    feeds: FeedSettings
    workers: WorkerSettings
    model_defaults: ModelSettings
    models: dict[Name, ModelSettings]
    providers: dict[Name, ProviderSettings]
    log: LogSettings

    def base_of(self, name: str) -> str:
        """The model whose workers answer under this name: its own, or the one whose adapter it names."""
        if name in self.models:
            return name
        return next((base for base, model in self.models.items() if name in model.adapters), name)

    def adapter_of(self, name: str) -> str:
        """The name again if it is an adapter's; "" for a model's own."""
        return name if self.base_of(name) != name else ""
