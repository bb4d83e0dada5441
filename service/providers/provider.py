"""What every upstream API is: a chat in, pieces of text and an ending out."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from msgspec import Struct

from workers.messages import ChatMessage, Sampling, Usage

BROKEN_OFF = "upstream: the answer broke off before its end"


class Piece(Struct, frozen=True):
    """Some text of the answer; the last piece has the reason it ended for and the usage."""

    text: str = ""
    reason: str | None = None
    usage: Usage | None = None


class Provider(ABC):
    """One configured upstream. Its errors leave as `workers.errors.JobError`."""

    @abstractmethod
    def answer(
        self, model: str, messages: list[ChatMessage], sampling: Sampling
    ) -> AsyncGenerator[Piece, None]:
        """Stream the answer. The upstream has accepted the request once an empty first piece comes.

        Closing the iterator ends the upstream's work. Raises JobError.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close its connections."""


def job_error_code(status: int | None) -> str:
    """The code for an upstream's HTTP status; None when it could not be reached."""
    match status:
        case 400 | 404 | 413 | 422:
            return "upstream_refused"
        case 429:
            return "upstream_busy"
        case _:
            return "upstream_failed"
