"""What can go wrong with a job, as data.

    LoadError                   a model that cannot be loaded; the worker leaves with this one line
    JobError                    raised where a job fails; carries its code across the process boundary
    └── code                    status  retryable  when
        ├── bad_params          400     no         a value that only the model can judge is wrong
        ├── context_length_exceeded  400  no       prompt (and answer) do not fit the model
        ├── engine_overloaded   503     yes        the engine's waiting queue is full
        ├── engine_failed       500     yes        a step raised; the worker is replaced
        ├── task_failed         500     no         a user's task raised
        ├── task_bad_value      500     no         a user's task yielded what cannot be sent
        ├── stage_failed        500     no         a stage of a pipeline raised
        ├── out_of_memory       500     no         a step of this job alone does not fit the device
        ├── worker_lost         503     yes        the process is gone; made by the service
        ├── upstream_refused    400     no         a provider will not have the request
        ├── upstream_busy       503     yes        a provider is out of room
        └── upstream_failed     502     yes        a provider cannot be reached, or broke off

One code, three dresses: an HTTP status before the first byte, a terminal event after it, and one
log line with the job's id and the traceback where it happened.
"""

import re
from typing import Any, NamedTuple

import msgspec

PLACE = re.compile(r"^(.*?)(?: - at `\$\.?(.*?)`)?$", re.DOTALL)
STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
NUM_VALUE_CHARS = 60


class Kind(NamedTuple):
    status: int
    is_retryable: bool


KINDS: dict[str, Kind] = {
    "bad_params": Kind(400, False),
    "context_length_exceeded": Kind(400, False),
    "engine_overloaded": Kind(503, True),
    "engine_failed": Kind(500, True),
    "task_failed": Kind(500, False),
    "task_bad_value": Kind(500, False),
    "stage_failed": Kind(500, False),
    "out_of_memory": Kind(500, False),
    "worker_lost": Kind(503, True),
    "upstream_refused": Kind(400, False),
    "upstream_busy": Kind(503, True),
    "upstream_failed": Kind(502, True),
}


class LoadError(Exception):
    """A model that cannot be served; the message says in one line what is wrong and with what."""


class JobError(Exception):
    """A job that cannot be done. `message` is for users: field, value and limit."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class Complaint(NamedTuple):
    """What is wrong with a value: a message for users, and the field's place, if it has one."""

    message: str
    param: str | None


def complaint(error: msgspec.ValidationError, values: Any) -> Complaint:
    """Say field, value and what is accepted. `values` are the untyped ones that did not fit."""
    match = PLACE.match(str(error))
    message, place = (match[1], match[2] or "") if match else (str(error), "")
    missing = re.search(r"required field `(\w+)`", message)
    if missing:
        place = f"{place}.{missing[1]}".lstrip(".")
        return Complaint(f"$.{place}: required, but missing", place)
    if not place:
        return Complaint(f"$: {message}", None)
    return Complaint(f"$.{place}: {message}, not {_show(values, place)}", place)


def _show(values: Any, place: str) -> str:
    """The value at a place such as `messages[0].role`, short enough for a message."""
    for name, index in STEP.findall(place):
        try:
            values = values[name] if name else values[int(index)]
        except (KeyError, IndexError, TypeError):
            return "what was given"
    text = msgspec.json.encode(values).decode()
    if len(text) <= NUM_VALUE_CHARS:
        return text
    # Of a string its own, which are what limits count, not those of its JSON.
    num_chars = len(values if isinstance(values, str) else text)
    return f"{text[:NUM_VALUE_CHARS]}… ({num_chars} characters)"
