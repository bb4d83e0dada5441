"""A worker's life: threads fixed, model loaded, loop run, last words said."""

import ctypes
import logging
import os
import signal
import sys
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection

from config.logs import set_up
from config.settings import LogSettings, ModelSettings
from workers.errors import LoadError
from workers.loop import LAST_WORDS_S, Loop
from workers.messages import Bye, Message, Ready
from workers.queues import EndOfPipe, WorkerEnd

log = logging.getLogger(__name__)

# mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerSpec(Message, frozen=True, gc=False):
    """All a worker has to know before its first command."""

    model_name: str
    model: ModelSettings
    log: LogSettings
    num_threads: int
    heartbeat_s: float


def main(spec: WorkerSpec, commands: Connection, reports: Connection) -> None:
    """Run one worker to its end; the exit status is 0 only when it was asked to leave."""
    _settle(spec)
    end = WorkerEnd(commands, reports)
    try:
        _work(spec, end)
    except EndOfPipe:
        log.info("service is gone, leaving", extra={"model": spec.model_name})
    except Exception as error:
        log.exception("worker failed", extra={"model": spec.model_name})
        _say_why(end, error)
        sys.exit(1)


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next one, where there is a glibc.

    By itself it gives large blocks back to the system, and each step pays for their pages again: a
    first run at 32 sequences took 7.3 s instead of 3.8, a prefill step 230 ms instead of 105.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def _settle(spec: WorkerSpec) -> None:
    """Before any tensor library is loaded: they read the number of threads once, at import."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(spec.num_threads)
    # What transformers says at its import (parts that nobody asked for are missing) helps no operator.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    keep_freed_memory()
    os.nice(spec.model.nice)
    # The service answers the terminal's and systemd's signals; a worker leaves when it is told to.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    warnings.simplefilter("default")
    set_up(spec.log)


def _work(spec: WorkerSpec, end: WorkerEnd) -> None:
    from workers.registry import load_engine

    engine = load_engine(spec.model_name, spec.model)
    end.put(Ready(engine.limits))
    Loop(engine, end, spec.heartbeat_s).run()


def _say_why(end: WorkerEnd, error: Exception) -> None:
    line = " ".join(
        (str(error) if isinstance(error, LoadError) else f"{type(error).__name__}: {error}").split()
    )
    with suppress(EndOfPipe):
        end.put(Bye(line[:500]))
        end.finish(LAST_WORDS_S)
