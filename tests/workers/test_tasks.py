"""The tasks engine keeps the promises of every engine, whatever users' generators do."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.command_line import load
from workers.errors import JobError, LoadError
from workers.messages import (
    Accepted,
    Event,
    Failed,
    Finished,
    Item,
    Progress,
    Started,
    TaskWork,
    Usage,
)
from workers.tasks import engine as module
from workers.tasks.engine import TasksEngine

MISBEHAVING = Path(__file__).parents[1] / "misbehaving.py"
HEAD = "from workers.tasks import task\n"
GOOD = "def f(context):\n    yield 1\n"


def engine_of(path: Path | str = MISBEHAVING, **fields: object) -> TasksEngine:
    fields = {"engine": "tasks", "path": path} | fields
    flags = [flag for name, value in fields.items() for flag in ("--set", f"models.tasks.{name}={value}")]
    return TasksEngine("tasks", load(["--model", "tasks", *flags], {}).models["tasks"])


def work(name: str, **params: object) -> TaskWork:
    return TaskWork(name, msgspec.json.encode(params))


def run(engine: TasksEngine) -> list[Event]:
    """Step until nothing is left to do."""
    events: list[Event] = []
    while engine.has_work():
        events += engine.step()
    return events


def run_one(name: str, **params: object) -> list[Event]:
    engine = engine_of()
    assert engine.add(1, work(name, **params)) == Accepted(1, 0)
    events = run(engine)
    assert not engine.job_ids()
    return events


def items(events: list[Event], job_id: int = 1) -> list[Any]:
    return [msgspec.json.decode(e.value) for e in events if isinstance(e, Item) and e.job_id == job_id]


def test_items_progress_and_end_in_order() -> None:
    """Of what is reported between two yields, the last goes out, with the next yield."""
    assert run_one("count", n=2) == [
        Started(1),
        Progress(1, 1, 2),
        Item(1, b"0"),
        Progress(1, 2, 2),
        Item(1, b"1"),
        Finished(1, "completed", Usage(num_items=2), []),
    ]


def test_progress_alone() -> None:
    end = Finished(1, "completed", Usage(), [])
    assert run_one("progress_alone") == [Started(1), Progress(1, 1, 2), Progress(1, 2, 2), end]


def test_every_kind_of_value() -> None:
    wanted = [None, True, "a\nb", "🦊", 1.5, [1, "x"], {"k": {}}, {"n": 2}, {"a": 1}, "eHk="]
    events = run_one("values")
    assert items(events) == wanted
    assert not any(b"\n" in event.value for event in events if isinstance(event, Item))


def test_a_task_may_yield_nothing() -> None:
    assert run_one("nothing") == [Started(1), Finished(1, "completed", Usage(), [])]


def test_setup_is_called_once_a_worker() -> None:
    engine = engine_of()
    for job_id in (1, 2):
        engine.add(job_id, work("state"))
        assert items(run(engine), job_id) == [["loaded", *["used"] * job_id]]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("raises", "task_failed", 'task "raises" raised ValueError: the disk is full'),
        ("raises_the_unreadable", "task_failed", "Unreadable: (its text cannot be had)"),
        ("raises_what_exits", "task_failed", "Parting: (its text cannot be had)"),
        ("raises_a_surrogate", "task_failed", "ValueError: ?"),
        ("exits", "task_failed", "SystemExit: good bye"),
        ("bad_progress", "task_failed", "progress(5, 4): expected 0 <= done <= total"),
        ("surrogate", "task_bad_value", "item 2 cannot be sent as JSON: UnicodeEncodeError"),
        ("too_large", "task_bad_value", "5242882 bytes > 4194304; yield it in parts"),
    ],
)
def test_what_goes_wrong_ends_its_own_run_alone(
    name: str, code: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_of()
    engine.add(1, work(name))
    engine.add(2, work("count", n=5))
    events = run(engine)
    failure = next(event for event in events if isinstance(event, Failed))
    assert (failure.job_id, failure.code, failure.usage) == (1, code, Usage(num_items=1))
    assert words in failure.message
    assert items(events, 2) == [0, 1, 2, 3, 4]
    record = next(record for record in caplog.records if record.exc_info)
    assert (record.job, record.task) == (1, name)  # type: ignore[attr-defined]


def test_a_bad_value_closes_the_generator(tmp_path: Path) -> None:
    path = tmp_path / "left"
    failure = run_one("bad_value", path=str(path))[-1]
    assert isinstance(failure, Failed)
    assert "Encoding objects of type object is unsupported" in failure.message
    assert path.read_text() == "closed"


@pytest.mark.parametrize("is_paused", [False, True])
def test_cancel_closes_the_generator(tmp_path: Path, is_paused: bool) -> None:
    engine, path = engine_of(), tmp_path / "left"
    engine.add(1, work("floods", path=str(path)))
    num_sent = len(items([*engine.step(), *engine.step()]))
    if is_paused:
        engine.pause(1)
    engine.cancel(1)
    assert not path.exists()
    assert engine.step() == [Finished(1, "cancelled", Usage(num_items=num_sent), [])]
    assert path.read_text() == "closed"
    assert not engine.has_work()


@pytest.mark.parametrize("name", ["stubborn", "deaf", "raises_at_the_end"])
def test_a_generator_that_will_not_close_is_survived(name: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = engine_of()
    engine.add(1, work(name))
    engine.add(2, work("count"))
    engine.step()
    engine.cancel(1)
    events = run(engine)
    assert isinstance(events[0], Finished) and events[0].reason == "cancelled"
    assert isinstance(events[-1], Finished) and events[-1].reason == "completed"
    assert "task did not close well" in caplog.text


def test_one_yield_each_a_step_and_the_rest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE_S", 60.0)
    engine = engine_of(max_num_seqs=2)
    for job_id in (1, 2, 3):
        engine.add(job_id, work("count", n=2))
    assert (engine.stats().num_running, engine.stats().num_waiting) == (2, 1)
    steps = [[event.job_id for event in engine.step() if isinstance(event, Item)] for _ in range(5)]
    assert steps == [[1, 2], [1, 2], [], [3], [3]]


def test_a_step_that_takes_long_ends_amid_its_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE_S", 1e-9)
    engine = engine_of()
    for job_id in (1, 2, 3):
        engine.add(job_id, work("count", n=1_000_000))
    order = []
    while len(order) < 9:
        order += [event.job_id for event in engine.step() if isinstance(event, Item)]
    assert order == [1, 2, 3] * 3


def test_a_paused_job_does_not_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE_S", 60.0)
    engine = engine_of()
    engine.add(1, work("count", n=3))
    engine.add(2, work("count", n=3))
    engine.step()
    engine.pause(1)
    events = run(engine)
    assert (items(events, 1), items(events, 2)) == ([], [1, 2])
    assert engine.stats().num_paused == 1
    engine.resume(1)
    assert items(run(engine), 1) == [1, 2]


@pytest.mark.parametrize(
    ("name", "params", "code", "message", "param"),
    [
        ("count", b'{"n": "3"}', "bad_params", '$.n: Expected `int`, got `str`, not "3"', "n"),
        ("count", b'{"n": 1.5}', "bad_params", "$.n: Expected `int`, got `float`, not 1.5", "n"),
        ("count", b"[]", "bad_params", "$: Expected `object`, got `array`", None),
        ("floods", b"{}", "bad_params", "$.path: required, but missing", "path"),
        ("nothing", b"3", "bad_params", "$: Expected `object`, got `int`", None),
        ("moody", b'{"mood": "odd"}', "bad_params", "$: odd moods are not served", None),
        (
            "moody",
            b'{"mood": "bad"}',
            "task_failed",
            'task "moody": its params raised LookupError: bad',
            None,
        ),
        ("nope", b"{}", "bad_params", "task 'nope' is unknown; there is: count, state", "name"),
        ("moody", b'{"mood": "\xff"}', "bad_params", "the params are not valid JSON", None),
        ("count", b'{"n": "3", "x": "\xff"}', "bad_params", "the params are not valid JSON", None),
    ],
)
def test_bad_params(name: str, params: bytes, code: str, message: str, param: str | None) -> None:
    engine = engine_of()
    with pytest.raises(JobError) as caught:
        engine.add(1, TaskWork(name, params))
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.message.startswith(message)
    assert not engine.job_ids()


def test_specs() -> None:
    specs = {spec.name: spec for spec in engine_of().limits.tasks}
    assert specs["stubborn"].description == "Yields in its `finally`."
    assert msgspec.json.decode(specs["stubborn"].schema) == {"type": "object"}
    schema = msgspec.json.decode(specs["count"].schema)
    assert schema["$defs"]["Count"]["properties"]["n"] == {"type": "integer", "default": 3}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "has no task; put @task"),
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        (f"{HEAD}@task('a')\n{GOOD}@task('a')\n{GOOD}", "names task 'a' twice: f, f"),
        (f"{HEAD}@task('a/b')\n{GOOD}", "task 'a/b': a name has 1 to 64 of"),
        (f"{HEAD}@task('a')\ndef f(context):\n    return 1\n", "task 'a': expected a generator function"),
        (f"{HEAD}@task('a')\nasync {GOOD}", "task 'a': expected a generator function"),
        (f"{HEAD}@task('a', params=int)\n{GOOD}", "params must be a msgspec.Struct type or None"),
        (f"{HEAD}@task('a')\ndef f():\n    yield\n", "task 'a': its function must take (context)"),
        (f"{HEAD}@task('a', setup=lambda: 1 / 0)\n{GOOD}", "setup of task 'a' failed: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_loaded_says_why(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(source)
    with pytest.raises(LoadError) as caught:
        engine_of(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("path", ["no_such_module", "no_such_file.py"])
def test_a_missing_module_is_named(path: str) -> None:
    with pytest.raises(LoadError, match=f"cannot import '{path}'"):
        engine_of(path)


def test_a_module_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tasks.py").write_text(f"{HEAD}@task('a')\n{GOOD}")
    monkeypatch.syspath_prepend(tmp_path)
    assert [spec.name for spec in engine_of("package_of_mine.tasks").limits.tasks] == ["a"]


def test_a_file_finds_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "beside_the_tasks.py").write_text("VALUE = 7\n")
    path = tmp_path / "json.py"
    path.write_text(
        f"{HEAD}from beside_the_tasks import VALUE\n@task('a')\ndef f(context):\n    yield VALUE\n"
    )
    engine = engine_of(path)
    engine.add(1, work("a"))
    assert items(run(engine)) == [7]


NAMES = ["count", "raises", "surrogate", "stubborn", "raises_at_the_end", "nothing"]


@given(st.lists(st.tuples(st.sampled_from(["add", "cancel", "pause", "resume", "step"]), st.integers(0, 5))))
def test_exactly_one_terminal_event_whatever_happens(calls: list[tuple[str, int]]) -> None:
    engine, events, added = engine_of(max_num_seqs=2), list[Event](), set[int]()
    for call, number in calls:
        if call == "add" and number not in added:
            added.add(number)
            engine.add(number, work(NAMES[number]))
        elif call == "step":
            events += engine.step() if engine.has_work() else []
        elif call != "add":
            getattr(engine, call)(number)
    for number in added:
        engine.resume(number)
        if NAMES[number] in ("stubborn", "raises_at_the_end"):
            engine.cancel(number)
    events += run(engine)
    ends = Counter(event.job_id for event in events if isinstance(event, Finished | Failed))
    assert ends == dict.fromkeys(added, 1)
    for number in added:
        own = [event for event in events if event.job_id == number]
        assert isinstance(own[-1], Finished | Failed)
    assert not engine.job_ids()
    assert engine.stats().num_running == engine.stats().num_waiting == engine.stats().num_paused == 0
