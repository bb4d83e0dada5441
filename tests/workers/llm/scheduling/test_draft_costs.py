"""When drafts are worth their time, as the clock tells."""

import pytest

from workers.detokenizer import Detokenizer
from workers.llm.answers.sequence import Answer, Job, Sequence
from workers.llm.scheduling.lookup import Index
from workers.llm.scheduling.speculation import MAX_REFUSALS, Speculation
from workers.messages import Sampling

STEP_S = 0.01


def make_sequence(max_tokens: int = 100, temperature: float = 0.0) -> Sequence:
    answer = Answer(Detokenizer(lambda _: "", frozenset(), []), [])
    sequence = Sequence(Job(0, Sampling(max_tokens, temperature=temperature)), 0, [5] * 20, answer)
    sequence.max_tokens = max_tokens
    return sequence


def num_drafts(speculation: Speculation, sequences: list[Sequence], num_tokens: int = 1000) -> list[int]:
    return [len(draft) for draft in speculation.propose(sequences, num_tokens)]


def measured(num_decodes: int, draft_s: float, max_slowdown: float = 0.0) -> Speculation:
    speculation = Speculation(8, max_slowdown)
    speculation.note_time(num_decodes, 0, STEP_S)
    speculation.note_time(num_decodes, 10, STEP_S + 10 * draft_s)
    return speculation


def test_a_step_without_drafts_is_measured_first() -> None:
    speculation, sequences = Speculation(8, 0.0), [make_sequence()]
    assert num_drafts(speculation, sequences) == [0]
    speculation.note_time(1, 0, STEP_S)
    assert num_drafts(speculation, sequences) == [2]
    assert num_drafts(speculation, sequences * 2) == [0, 0]


def test_only_what_brings_more_than_its_time() -> None:
    """Half of the first drafts are expected to be right: so each may cost half a token's share of a step."""
    sequences = [make_sequence() for _ in range(4)]
    assert num_drafts(measured(4, 0.12 * STEP_S), sequences) == [2] * 4
    speculation = measured(4, 0.15 * STEP_S)
    assert num_drafts(speculation, sequences) == [0] * 4
    for _ in range(10):
        speculation.note(sequences[2], 2, 2)
    assert num_drafts(speculation, sequences) == [0, 0, 4, 0]


def test_what_was_too_dear_is_tried_again() -> None:
    speculation, sequences = measured(4, STEP_S), [make_sequence() for _ in range(4)]
    for _ in range(MAX_REFUSALS):
        assert num_drafts(speculation, sequences) == [0] * 4
    assert num_drafts(speculation, sequences) == [2, 0, 0, 0]
    speculation.note_time(4, 2, 3 * STEP_S)
    assert num_drafts(speculation, sequences) == [0] * 4
    for _ in range(20):
        speculation.note_time(4, 2, STEP_S)
    assert num_drafts(speculation, sequences) == [2] * 4


def test_where_first_drafts_are_wrong_nobody_begins() -> None:
    """Sampled texts repeat themselves less: they do not speak for greedy ones."""
    speculation = measured(4, 0.1 * STEP_S)
    sampled, greedy = ([make_sequence(temperature=t) for _ in range(4)] for t in (1.0, 0.0))
    assert num_drafts(speculation, sampled) == [2] * 4
    for sequence in sampled:
        speculation.note(sequence, 2, 0)
    newcomers = [make_sequence(temperature=1.0) for _ in range(4)]
    assert num_drafts(speculation, newcomers) == [0] * 4
    assert num_drafts(speculation, greedy) == [2] * 4


def test_no_text_is_looked_at_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who rests, whose drafts are too dear, or for whom there is no room."""
    resting, cheap, dear = make_sequence(), measured(2, 1e-6), measured(2, STEP_S)
    assert num_drafts(cheap, [resting, make_sequence(1)]) == [2, 0]
    cheap.note(resting, 2, 0)
    monkeypatch.setattr(Index, "find", lambda _: pytest.fail("looked"))
    assert num_drafts(cheap, [resting, make_sequence(1)]) == [0, 0]
    assert num_drafts(dear, [make_sequence(), make_sequence()]) == [0, 0]


def test_others_wait_no_longer_than_they_may() -> None:
    sequences = [make_sequence() for _ in range(8)]
    assert sum(num_drafts(measured(8, 0.05 * STEP_S, max_slowdown=1.6), sequences)) in (11, 12)
    # Nobody else waits for the only one's drafts.
    speculation = measured(1, 0.2 * STEP_S, max_slowdown=1.1)
    assert num_drafts(speculation, sequences[:1]) == [2]


def test_the_room_of_a_step_and_the_end_of_an_answer() -> None:
    sequences = [make_sequence() for _ in range(3)]
    assert num_drafts(measured(3, 1e-6), sequences, num_tokens=3) == [2, 1, 0]
    assert num_drafts(measured(2, 1e-6), [make_sequence(1), make_sequence(2)]) == [0, 1]
