"""What the loop asks of every engine, whatever the model."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from workers.messages import Event, JobId, Limits, Stats, Work

W = TypeVar("W", bound=Work)


class Engine(ABC, Generic[W]):
    """Runs many jobs at once, one `step` after another. Single-threaded: the loop is the only caller.

    W is the kind of work it does; the service sends it no other.

    A job lives from a successful `add` to its terminal event. Exactly one terminal event (`Finished`
    or `Failed`) leaves `step` for each job, also after `cancel`; no event of the job follows it.
    """

    limits: Limits

    @abstractmethod
    def add(self, job_id: JobId, work: W) -> Event | None:
        """Check the work and queue it; return its `Accepted`, or None where the check takes a while: then
        that, or `Failed`, is the job's first event.

        Raises JobError when the model cannot take it; then the engine keeps nothing of the job.
        """

    @abstractmethod
    def cancel(self, job_id: JobId) -> None:
        """End the job before the next step; its memory is free after it. Unknown ids are ignored."""

    @abstractmethod
    def pause(self, job_id: JobId) -> None:
        """Leave the job out of steps until `resume`. Its neighbours are untouched."""

    @abstractmethod
    def resume(self, job_id: JobId) -> None:
        """Let a paused job take part again."""

    @abstractmethod
    def has_work(self) -> bool:
        """Whether `step` would do anything now."""

    @abstractmethod
    def step(self) -> list[Event]:
        """Advance every scheduled job once; return the events in order.

        An exception is the engine's end: the loop fails all its jobs and the process leaves.
        """

    @abstractmethod
    def job_ids(self) -> list[JobId]:
        """The jobs that have no terminal event yet."""

    @abstractmethod
    def stats(self) -> Stats:
        """The gauges as they are now."""

    def close(self) -> None:
        """Let go of what outlives a step, threads and processes. Nothing else is called afterwards."""
