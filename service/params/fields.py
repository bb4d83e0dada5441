"""Types of fields that several APIs share, each with its limit."""

from typing import Annotated

from msgspec import Meta

INT64_MAX = (1 << 63) - 1

MaxTokens = Annotated[int, Meta(ge=1, le=1_000_000)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=-1, le=1_000_000)]
MinP = Annotated[float, Meta(ge=0, le=1)]
# msgspec keeps bounds in int64: these are its ends.
Seed = Annotated[int, Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]
StopString = Annotated[str, Meta(min_length=1, max_length=256)]
Stop = StopString | Annotated[list[StopString], Meta(max_length=4)] | None
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
RepetitionPenalty = Annotated[float, Meta(gt=0, le=2)]
MinTokens = Annotated[int, Meta(ge=0, le=1_000_000)]
TokenId = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]


def stop_list(stop: Stop) -> list[str]:
    """The stop strings, also when one was given alone."""
    if stop is None:
        return []
    return [stop] if isinstance(stop, str) else stop
