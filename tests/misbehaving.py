"""Tasks that go wrong in every way there is, and a few that only wait to be ended."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Raw, Struct

from workers.tasks import Context, task


class Count(Struct):
    n: int = 3


class Left(Struct):
    """Where to leave a word when the generator is closed."""

    path: str


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Parting(Exception):
    def __str__(self) -> str:
        sys.exit("good bye")


class Moody(Struct):
    mood: str = "good"

    def __post_init__(self) -> None:
        if self.mood == "odd":
            raise ValueError("odd moods are not served")
        if self.mood == "bad":
            raise LookupError(self.mood)


def load() -> list[str]:
    return ["loaded"]


@task("count", params=Count)
def count(params: Count, context: Context) -> Iterator[Any]:
    for i in range(params.n):
        context.progress(i, params.n)
        context.progress(i + 1, params.n)
        yield i


@task("state", setup=load)
def state(context: Context) -> Iterator[Any]:
    context.state.append("used")
    yield context.state


@task("progress_alone")
def progress_alone(context: Context) -> Iterator[Any]:
    yield context.progress(1, 2)
    context.progress(2, 2)


@task("values")
def values(context: Context) -> Iterator[Any]:
    yield from [None, True, "a\nb", "🦊", 1.5, [1, "x"], {"k": {}}, Count(2), Raw(b'{"a":\n 1}'), b"xy"]


@task("nothing")
def nothing(context: Context) -> Iterator[Any]:
    yield from []


@task("moody", params=Moody)
def moody(params: Moody, context: Context) -> Iterator[Any]:
    yield params.mood


@task("raises")
def raises(context: Context) -> Iterator[Any]:
    yield 1
    raise ValueError("the disk is full")


@task("raises_the_unreadable")
def raises_the_unreadable(context: Context) -> Iterator[Any]:
    yield 1
    raise Unreadable


@task("raises_what_exits")
def raises_what_exits(context: Context) -> Iterator[Any]:
    yield 1
    raise Parting


@task("raises_a_surrogate")
def raises_a_surrogate(context: Context) -> Iterator[Any]:
    yield 1
    raise ValueError("\ud800")


@task("exits")
def exits(context: Context) -> Iterator[Any]:
    yield 1
    sys.exit("good bye")


@task("leaves_a_child")
def leaves_a_child(context: Context) -> Iterator[Any]:
    """Ends its worker; a process that has the worker's pipes stays."""
    yield subprocess.Popen(["sleep", "600"], close_fds=False).pid
    os._exit(3)


@task("forks")
def forks(context: Context) -> Iterator[Any]:
    """The same with a copy of the worker, which has its sentinel too."""
    child = os.fork()
    if not child:
        os.execlp("sleep", "sleep", "600")
    yield child
    os._exit(3)


@task("bad_progress")
def bad_progress(context: Context) -> Iterator[Any]:
    yield 1
    context.progress(5, 4)


@task("bad_value", params=Left)
def bad_value(params: Left, context: Context) -> Iterator[Any]:
    try:
        yield 1
        yield {"thing": object()}
    finally:
        Path(params.path).write_text("closed")


@task("surrogate")
def surrogate(context: Context) -> Iterator[Any]:
    yield 1
    yield "\ud800"


@task("too_large")
def too_large(context: Context) -> Iterator[Any]:
    yield 1
    yield "x" * (5 << 20)


@task("blocks")
def blocks(context: Context) -> Iterator[Any]:
    yield 1
    threading.Event().wait()


@task("floods", params=Left)
def floods(params: Left, context: Context) -> Iterator[Any]:
    try:
        while True:
            yield "x" * 1_000
    finally:
        Path(params.path).write_text("closed")


@task("stubborn")
def stubborn(context: Context) -> Iterator[Any]:
    """Yields in its `finally`."""
    try:
        while True:
            yield "x"
    finally:
        yield "not yet"


@task("deaf")
def deaf(context: Context) -> Iterator[Any]:
    """Will not be closed the first two times."""
    for _ in range(2):
        with suppress(GeneratorExit):
            while True:
                yield "x"


@task("raises_at_the_end")
def raises_at_the_end(context: Context) -> Iterator[Any]:
    try:
        while True:
            yield "x"
    finally:
        raise OSError("cannot clean up")
