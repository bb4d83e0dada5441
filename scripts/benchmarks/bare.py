"""The bare engine loop of `scripts/bench text`: one process, no pipes, no service.

Reads orders (`num_streams max_tokens` a line) on standard input, answers each with the seconds taken.
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

from config.command_line import load
from workers.messages import ChatMessage, ChatPrompt, Sampling, TextDelta, TextWork
from workers.process import keep_freed_memory
from workers.registry import load_engine


def main(flags: list[str]) -> None:
    keep_freed_memory()
    settings = load(flags, {})
    name, model = next(iter(settings.models.items()))
    engine = load_engine(name, model)
    print(engine.limits.description, flush=True)
    for job_id, line in enumerate(sys.stdin):
        num_streams, max_tokens, prompt = line.rstrip("\n").split(" ", 2)
        sampling = Sampling(int(max_tokens), temperature=0.0, ignore_eos=True)
        work = TextWork([ChatPrompt([ChatMessage("user", prompt)])], sampling)
        began, num_tokens = time.monotonic(), 0
        for i in range(int(num_streams)):
            engine.add(job_id * 10_000 + i, work)
        while engine.has_work():
            num_tokens += sum(len(event.token_ids) for event in engine.step() if isinstance(event, TextDelta))
        print(num_tokens / (time.monotonic() - began), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
