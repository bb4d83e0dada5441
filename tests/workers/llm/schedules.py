"""Any schedule: adds, steps, cancels, pauses and resumes in any order, and what its jobs must have got."""

from collections.abc import Callable

from hypothesis import strategies as st

from tests.workers.llm.driver import Driver
from workers.messages import Finished, TextWork

# What is done (add, step, cancel, pause, resume), and two numbers: whose job or which work, and its size.
Action = tuple[str, int, int]
ACTIONS = st.lists(
    st.tuples(st.sampled_from("aaasssssscpr"), st.integers(0, 7), st.integers(1, 40)), max_size=50
)


def play(driver: Driver, actions: list[Action], make: Callable[[int, int], TextWork]) -> dict[int, TextWork]:
    """Do all that, then run to the end of every job; the work of each, as `make` gave it for the numbers."""
    works: dict[int, TextWork] = {}
    for action, choice, size in actions:
        # Nobody's is among them: ids that are unknown are ignored.
        job_id = [0, *works][choice % (1 + len(works))]
        match action:
            case "a":
                work = make(choice, size)
                works[driver.add(work)] = work
            case "s":
                driver.step()
            case "c":
                driver.engine.cancel(job_id)
            case "p":
                driver.engine.pause(job_id)
            case _:
                driver.engine.resume(job_id)
    driver.run()
    for job_id in works:
        driver.engine.resume(job_id)
    driver.run()
    driver.check_idle()
    return works


def expect_same(driver: Driver, plain: Driver, works: dict[int, TextWork]) -> None:
    """Each answer is what `plain` makes of its work alone; those that were cancelled are how that begins."""
    for job_id, work in works.items():
        alone = plain.add(work)
        plain.run()
        for index, answer in driver.transcripts[job_id].answers.items():
            expected = plain.answer(alone, index)
            is_whole = answer.reason != "cancelled"
            assert answer.token_ids == expected.token_ids[: None if is_whole else len(answer.token_ids)]
            assert not is_whole or (answer.text, answer.reason) == (expected.text, expected.reason)
        end, expected_end = driver.transcripts[job_id].end, plain.transcripts[alone].end
        assert isinstance(end, Finished) and isinstance(expected_end, Finished)
        if end.reason != "cancelled":
            assert end.usage.completion_tokens == expected_end.usage.completion_tokens
