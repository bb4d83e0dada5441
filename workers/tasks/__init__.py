"""Your own tasks: generator functions that run in a worker. `task` and `Context` are the door."""

from workers.tasks.context import Context
from workers.tasks.declare import task

__all__ = ["Context", "task"]
