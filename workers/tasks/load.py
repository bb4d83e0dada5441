"""Imports a user's module, gathers its tasks, and sets them up."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from workers.errors import LoadError
from workers.tasks.declare import Task, declared
from workers.tasks.wording import say


def load_tasks(path: str) -> dict[str, Task]:
    """The tasks of a module (`my_package.my_tasks`) or of a `.py` file, by name. Raises LoadError."""
    declared.clear()
    try:
        _import_file(Path(path)) if path.endswith(".py") else import_module(path)
    except (Exception, SystemExit) as error:
        raise LoadError(f"tasks: cannot import {path!r}: {say(error)}") from error
    tasks: dict[str, Task] = {}
    for task in declared:
        if task.name in tasks:
            functions = f"{tasks[task.name].function.__qualname__}, {task.function.__qualname__}"
            raise LoadError(f"tasks: {path!r} names task {task.name!r} twice: {functions}")
        tasks[task.name] = task
    if not tasks:
        raise LoadError(f'tasks: {path!r} has no task; put @task("name") on a generator function')
    return tasks


def set_up(tasks: dict[str, Task]) -> dict[str, Any]:
    """Each task's state, by its name. A setup that several share is called once. Raises LoadError."""
    made: dict[int, Any] = {}
    states: dict[str, Any] = {}
    for name, task in tasks.items():
        if task.setup is None:
            continue
        try:
            if id(task.setup) not in made:
                made[id(task.setup)] = task.setup()
        except (Exception, SystemExit) as error:
            raise LoadError(f"tasks: the setup of task {name!r} failed: {say(error)}") from error
        states[name] = made[id(task.setup)]
    return states


def _import_file(path: Path) -> None:
    """As running it would: what lies beside it can be imported. Its name hides no other module's."""
    name = f"sluice_tasks_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no Python file: {path}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
