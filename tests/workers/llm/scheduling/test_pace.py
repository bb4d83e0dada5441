"""How much of a long prompt a step takes beside others' tokens: as much as the clock says they can bear."""

import random
import statistics

import pytest

from workers.llm.scheduling.pace import MIN_TOKENS, STEPS_PER_LOOK, Pace

STEP_S, TOKEN_S = 0.02, 0.001


def learned(max_slowdown: float = 1.6, token_s: float = TOKEN_S) -> Pace:
    pace = Pace(512, max_slowdown)
    for _ in range(50):
        pace.note(16, 0, STEP_S)
        pace.note(16, 10, STEP_S + 10 * token_s)
    pace.note(16, 0, STEP_S)
    return pace


def test_a_step_takes_so_many_times_longer() -> None:
    assert learned(1.6).max_long_tokens(16) in (11, 12)
    assert learned(3.0).max_long_tokens(16) in (39, 40)


def test_a_dear_prompt_comes_to_its_end_all_the_same() -> None:
    assert learned(token_s=STEP_S).max_long_tokens(16) == MIN_TOKENS


def test_a_cheap_one_has_the_step_s_room() -> None:
    assert learned(token_s=1e-9).max_long_tokens(16) > 50
    assert learned(1000.0).max_long_tokens(16) == 512 - 16


def test_the_others_are_looked_at_alone_now_and_then() -> None:
    """As answers grow their steps take longer, which must not be put down to the prompt."""
    pace = learned()
    sizes = []
    for number in range(1000):
        sizes.append(pace.max_long_tokens(16))
        decode_s = STEP_S * (1 + number / 1000)
        pace.note(16, sizes[-1], decode_s + sizes[-1] * TOKEN_S)
    assert 1000 // STEPS_PER_LOOK - 2 <= sizes.count(0) <= 1000 // STEPS_PER_LOOK
    assert 0.6 * 1.5 * STEP_S / TOKEN_S < max(sizes[-10:]) <= 0.6 * 2 * STEP_S / TOKEN_S


def test_others_prompts_do_not_stop_a_long_one() -> None:
    """Where no step is without a prompt, it goes on all the same."""
    pace = learned()
    num_stops = 0
    for _ in range(200):
        num_stops += pace.max_long_tokens(16) == 0
        pace.note(16, 10, STEP_S + 10 * TOKEN_S)
    assert num_stops <= 200 // STEPS_PER_LOOK


@pytest.mark.parametrize(("num_decodes", "max_slowdown"), [(0, 1.6), (16, 0.0)])
def test_nobody_to_wait_for_or_no_limit(num_decodes: int, max_slowdown: float) -> None:
    assert Pace(512, max_slowdown).max_long_tokens(num_decodes) == 512 - num_decodes


def test_the_first_long_prompt_stalls_nobody_either() -> None:
    pace = Pace(512, 1.6)
    assert pace.max_long_tokens(16) < 64
    pace.note(16, 0, STEP_S)
    assert pace.max_long_tokens(16) < 64


def test_what_others_take_from_the_machine_is_not_put_down_to_the_prompt() -> None:
    """On a busy one a step may take half or twice its time."""
    clock, pace, sizes = random.Random(1), learned(), []
    for _ in range(2000):
        sizes.append(pace.max_long_tokens(16))
        pace.note(16, sizes[-1], clock.choice((0.5, 1.0, 1.5)) * (STEP_S + sizes[-1] * TOKEN_S))
    assert 10 <= statistics.median(sizes) <= 14
