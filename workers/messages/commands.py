"""Commands: service -> worker."""

from workers.messages.base import JobId, Message
from workers.messages.work import Work


class Submit(Message, frozen=True, gc=False):
    job_id: JobId
    work: Work


class Cancel(Message, frozen=True, gc=False):
    job_id: JobId


class Pause(Message, frozen=True, gc=False):
    job_id: JobId


class Resume(Message, frozen=True, gc=False):
    job_id: JobId


class Drain(Message, frozen=True, gc=False):
    """Finish what runs, then leave."""


class Stop(Message, frozen=True, gc=False):
    """Leave now."""


Command = Submit | Cancel | Pause | Resume | Drain | Stop
