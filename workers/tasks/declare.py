"""How a user's function becomes a task: `@task(name, params=…, setup=…)`."""

import inspect
import re
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import msgspec

from workers.errors import JobError, complaint
from workers.messages import TaskSpec
from workers.tasks.context import Context
from workers.tasks.wording import clean

F = TypeVar("F", bound=Callable[..., Any])

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
ANY_OBJECT = b'{"type":"object"}'


class Task:
    """A declared task. Raises TypeError or ValueError for what cannot be one."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Generator[Any, None, None]],
        params: type[msgspec.Struct] | None,
        setup: Callable[[], Any] | None,
    ) -> None:
        self.name = name
        self.function = function
        self.setup = setup
        self._has_params = params is not None
        _check(self, params)
        self._decoder = msgspec.json.Decoder[Any](params or dict)
        schema = msgspec.json.encode(msgspec.json.schema(params)) if params else ANY_OBJECT
        description = (inspect.getdoc(function) or "").partition("\n")[0]
        self.spec = TaskSpec(name, description, schema)

    def read(self, body: bytes) -> Any:
        """The params of one call. Raises JobError that names field, value and what is accepted.

        What a user's `__post_init__` raises passes, but for ValueError and TypeError: those refuse
        the params.
        """
        try:
            return self._decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise JobError("bad_params", f"the params are not valid JSON: {error}") from None

    def _decode(self, body: bytes) -> Any:
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            message, param = complaint(error, msgspec.json.decode(body))
            raise JobError("bad_params", clean(message), param) from None

    def start(self, params: Any, context: Context) -> Generator[Any, None, None]:
        """A generator that has not begun to run."""
        return self.function(params, context) if self._has_params else self.function(context)


# All tasks that were declared since this was last cleared: those of the module being imported.
declared: list[Task] = []


def task(
    name: str, *, params: type[msgspec.Struct] | None = None, setup: Callable[[], Any] | None = None
) -> Callable[[F], F]:
    """Declare a generator function as the task `name`: `POST /tasks/{name}` runs it in a worker.

    The function is called with its params, read from the request's JSON, and a `Context`; without
    `params`, with the context alone. Whatever it yields is sent as JSON. `setup` is called once in
    each worker, before its first job; what it returns is the context's `state`. The function itself
    stays as it is.
    """

    def declare(function: F) -> F:
        declared.append(Task(name, function, params, setup))
        return function

    return declare


def _check(task: Task, params: Any) -> None:
    if not NAME.fullmatch(task.name):
        raise ValueError(f"task {task.name!r}: a name has 1 to 64 of A-Z a-z 0-9 _ . -")
    if not inspect.isgeneratorfunction(task.function):
        raise TypeError(f"task {task.name!r}: expected a generator function, one that yields")
    if params is not None and not (isinstance(params, type) and issubclass(params, msgspec.Struct)):
        raise TypeError(f"task {task.name!r}: params must be a msgspec.Struct type or None")
    arguments = ("params", "context") if params else ("context",)
    try:
        inspect.signature(task.function).bind(*arguments)
    except TypeError:
        expected = ", ".join(arguments)
        raise TypeError(f"task {task.name!r}: its function must take ({expected})") from None
