"""Station "job": params with identity and deadline, and what is needed to go on elsewhere."""

import secrets

from msgspec import Struct

from workers.messages import JobId, TextDelta, Work


class Job(Struct, kw_only=True):
    """What one request asked for. `timeout_s` counts from acceptance by the service.

    An endless one (a feed's reader) ends when its reader goes or its time is over, never by itself.
    """

    id: JobId
    key: str
    route: str
    model: str
    work: Work
    request_id: str
    provider: str = "local"
    timeout_s: float | None = None
    is_resumable: bool = False
    is_endless: bool = False
    max_retries: int = 0
    num_retries: int = 0
    stream_id: str = ""
    keeps_text: bool = False
    generated: list[list[int]] = []
    texts: list[str] = []

    def __post_init__(self) -> None:
        self.stream_id = f"st_{secrets.token_urlsafe(16)}"
        self.texts = []
        self.generated = [[] for _ in range(self.work.num_choices)]

    def remember(self, delta: TextDelta) -> None:
        """Keep what is needed later: tokens to go on after elsewhere, text for a chat's history."""
        if self.max_retries:
            self.generated[delta.index].extend(delta.token_ids)
        if self.keeps_text:
            self.texts.append(delta.text)

    def release(self) -> None:
        """Free what only a running job needs: prompts may be large, and its stream is kept a while."""
        self.work = self.work.emptied()
        self.generated, self.texts = [], []

    def rest(self, done: set[int]) -> Work:
        """The work that is left, for another worker."""
        return self.work.rest(self.generated, sorted(done))
