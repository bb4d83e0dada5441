"""Grammars are compiled in a process of their own first: what never ends, or takes all memory, dies there.

llguidance bounds what a parser may cost, but not what it takes to read a schema: 42 bytes
(`{"type":"integer","multipleOf":1000003}`) took it 8 s and 300 MB, three nested patterns minutes. It
lets go of the interpreter meanwhile, but a thread of it cannot be stopped.

As a program this module is that process: it reads a grammar, and writes what is wrong with it.
"""

import os
import resource
import subprocess
import sys
import threading

# The largest that was meant well, 5,000 properties, took 0.6 s and 60 MB on a busy machine.
MAX_CPU_S = 2
MAX_BYTES = 512 << 20
# For a machine so busy that it does not get its 2 s.
MAX_WALL_S = 30.0
# Steps of priority that it yields to those whose tokens are made.
NICE = 5


class TooDear(Exception):
    """The grammar took more than the limits."""


class Inspector:
    """One inspection at a time, from one thread; `close` may be called from another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self._process: subprocess.Popen[bytes] | None = None

    def inspect(self, grammar: str) -> str:
        """What is wrong with the grammar, "" if nothing is.

        Raises TooDear, also once this is closed, and TimeoutError where the machine is too busy.
        """
        with self._lock:
            if self._is_closed:
                raise TooDear
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        with self._process as process:
            try:
                complaint, _ = process.communicate(grammar.encode(), MAX_WALL_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise TimeoutError from None
        if process.returncode:
            raise TooDear
        return complaint.decode()

    def close(self) -> None:
        """End the inspection that runs; there will be no other."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()


def main() -> None:
    """Ends by a signal, or with what Python or Rust say, where the limits are not enough."""
    from llguidance import LLMatcher, LLTokenizer

    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    grammar = sys.stdin.buffer.read().decode()
    # Bytes for tokens: what else the model's own would cost is bounded by the parser's limits.
    matcher = LLMatcher(LLTokenizer("byte"), grammar, log_level=0)
    sys.stdout.buffer.write(matcher.get_error().encode())


if __name__ == "__main__":
    main()
