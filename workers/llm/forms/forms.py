"""Forms on the way: grammars are compiled in a thread, while the loop goes on making others' tokens."""

from collections import OrderedDict
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from workers.errors import JobError
from workers.llm.answers.sequence import Job
from workers.llm.forms.grammar import Form, Grammar, Grammars
from workers.messages import JobId

# Agents send the same tools with each turn. Compiled, a grammar has some hundred times the size of its text.
MAX_KEPT = 16
MAX_KEPT_CHARS = 1 << 20
# Different grammars in the making: at worst each takes the inspector's limit.
MAX_MAKING = 8


class Forms:
    """Gives jobs their forms, each grammar compiled once: at once where it is kept, else once it is ready.

    That one cannot be compiled is kept too: who asks again is answered at once.
    """

    def __init__(self, grammars: Grammars) -> None:
        self._grammars = grammars
        self._pool = ThreadPoolExecutor(1, "grammar")
        self._made: OrderedDict[Grammar, Future[Form]] = OrderedDict()
        self._jobs: dict[JobId, tuple[Job, Future[Form]]] = {}

    @property
    def num_waiting(self) -> int:
        """Sequences that wait for a form."""
        return sum(len(job.sequences) for job, _ in self._jobs.values())

    def has_work(self) -> bool:
        return bool(self._jobs)

    def give(self, job: Job, grammar: Grammar) -> bool:
        """Whether the job's sequences have their forms now; if not, `take` tells when.

        Raises JobError for a bad grammar, and where too many are in the making.
        """
        future = self._future(grammar)
        if not future.done():
            self._jobs[job.job_id] = (job, future)
            return False
        _constrain(job, future.result())
        return True

    def take(self, wait_s: float) -> list[tuple[Job, JobError | None]]:
        """The jobs that wait no longer: they have their forms, or there is an error.

        Where there is none yet, waits so long for one.
        """
        if not self._jobs:
            return []
        wait({future for _, future in self._jobs.values()}, wait_s, FIRST_COMPLETED)
        ready = [each for each in self._jobs.values() if each[1].done()]
        return [(job, self._settle(job, future)) for job, future in ready]

    def drop(self, job: Job) -> bool:
        """Whether the job waited for its form; it does no longer."""
        return self._jobs.pop(job.job_id, None) is not None

    def is_waiting(self, job: Job) -> bool:
        return job.job_id in self._jobs

    def close(self) -> None:
        """Compile nothing more. What is being compiled ends by itself, within the inspector's limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._grammars.close()

    def _future(self, grammar: Grammar) -> Future[Form]:
        future = self._made.get(grammar)
        if future is None or _has_failed_by_chance(future):
            future = self._begin(grammar)
        self._made.move_to_end(grammar)
        return future

    def _begin(self, grammar: Grammar) -> Future[Form]:
        making = sum(not future.done() for future in self._made.values())
        if making >= MAX_MAKING:
            raise JobError(
                "engine_overloaded", f"{making} grammars are waiting to be compiled >= {MAX_MAKING}"
            )
        self._forget()
        future = self._made[grammar] = self._pool.submit(self._grammars.compile, grammar)
        return future

    def _forget(self) -> None:
        """Down to room for one more: those that nobody asked for the longest, none that is in the making."""
        num_chars = sum(len(grammar.text) for grammar in self._made)
        for grammar in [grammar for grammar, future in self._made.items() if future.done()]:
            if len(self._made) < MAX_KEPT and num_chars <= MAX_KEPT_CHARS:
                return
            num_chars -= len(grammar.text)
            del self._made[grammar]

    def _settle(self, job: Job, future: Future[Form]) -> JobError | None:
        del self._jobs[job.job_id]
        try:
            _constrain(job, future.result())
        except JobError as error:
            return error
        return None


def _has_failed_by_chance(future: Future[Form]) -> bool:
    error = future.exception() if future.done() else None
    return error is not None and not (isinstance(error, JobError) and error.code == "bad_params")


def _constrain(job: Job, form: Form) -> None:
    for sequence in job.sequences.values():
        sequence.constrain(form.copy())
