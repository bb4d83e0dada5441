"""Drafts behind the tokens that a step computes anyway: taken where the sampler comes to the same.

Leviathan et al., Fast Inference from Transformers via Speculative Decoding (2023), with a text's own n-grams
for a draft model. What is drawn at a place depends on the logits, the seed and the position alone: each
place is drawn from as if the drafts before it were right, and those after the first wrong one are dropped. So
an answer is the same with drafts and without, greedy or not.
"""

from workers.llm.answers.sequence import Sequence
from workers.llm.scheduling.estimates import mixed
from workers.llm.scheduling.lookup import FIRST_DRAFT_TOKENS, Chance, Drafter

# After so many steps in which drafts were too dear one is tried again: the clock may have been noisy, and
# texts change.
MAX_REFUSALS = 64


class Costs:
    """Learns for each number of decodes what their step takes, and what each draft adds, in seconds.

    Where a step takes the time of reading the weights a draft is nearly free; where it takes that of
    computing, a draft costs what a token costs. Of this very machine: there is nothing to set per machine.
    """

    def __init__(self) -> None:
        self._step_s: dict[int, float] = {}
        self._draft_s: dict[int, float] = {}

    def note(self, num_decodes: int, num_drafts: int, step_s: float) -> None:
        """What a step without prompts has taken."""
        if not num_drafts:
            self._step_s[num_decodes] = mixed(self._step_s.get(num_decodes, 0.0), step_s)
        elif plain_s := self._step_s.get(num_decodes):
            # A noisy clock may say that drafts were free: then they were cheap, not free.
            draft_s = max(step_s - plain_s, 0.01 * step_s) / num_drafts
            self._draft_s[num_decodes] = mixed(self._draft_s.get(num_decodes, 0.0), draft_s)

    def ratio(self, num_decodes: int) -> float | None:
        """What a draft adds to a step as a share of it; None before it was tried."""
        draft_s = self._draft_s.get(num_decodes)
        return None if draft_s is None else draft_s / self._step_s[num_decodes]

    def is_known(self, num_decodes: int) -> bool:
        """Whether a step without drafts was measured."""
        return num_decodes in self._step_s


class Speculation:
    """Drafts of at most `max_tokens` a sequence, and how many of all tokens were right.

    Others in the step wait at most `max_slowdown` times longer for them; 0 for no limit.
    """

    def __init__(self, max_tokens: int, max_slowdown: float) -> None:
        self.max_tokens = max_tokens
        self._max_slowdown = max_slowdown
        self._costs = Costs()
        self._chances = {is_sampled: Chance() for is_sampled in (False, True)}
        self._num_refusals = 0
        self.num_drafted = 0
        self.num_accepted = 0

    def propose(self, sequences: list[Sequence], num_tokens: int) -> list[list[int]]:
        """A draft, or an empty one, for each of the sequences that decode; `num_tokens` in all at most."""
        num_decodes = len(sequences)
        ratio = self._costs.ratio(num_decodes)
        # More tokens a second, all together: a draft has to bring more than the time it takes would.
        least_rate, num_left = -1.0, min(num_tokens, self._max_drafts(num_decodes, ratio))
        if ratio is not None and self._num_refusals < MAX_REFUSALS:
            least_rate = num_decodes * ratio
        elif ratio is not None:
            num_left = min(num_left, FIRST_DRAFT_TOKENS)
        is_refused, drafts = False, []
        for sequence in sequences:
            drafter, draft = self._drafter_of(sequence), []
            if drafter is not None and not drafter.is_resting():
                room = self._room(sequence, num_left)
                if drafter.hit_rate <= least_rate:
                    is_refused = True
                elif room > 0:
                    draft = drafter.draft(room)
            num_left -= len(draft)
            drafts.append(draft)
        self._count(is_refused, has_drafts=any(drafts))
        return drafts

    def note(self, sequence: Sequence, num_drafted: int, num_accepted: int) -> None:
        """So many tokens of the sequence's draft were right."""
        self.num_drafted += num_drafted
        self.num_accepted += num_accepted
        if sequence.drafter is not None:
            sequence.drafter.note(num_drafted, num_accepted)

    def note_time(self, num_decodes: int, num_drafts: int, step_s: float) -> None:
        """What a step without prompts has taken."""
        self._costs.note(num_decodes, num_drafts, step_s)

    def _max_drafts(self, num_decodes: int, ratio: float | None) -> int:
        if not self._costs.is_known(num_decodes):
            return 0
        most = num_decodes * self.max_tokens
        if num_decodes == 1 or not self._max_slowdown:
            return most
        if ratio is None:
            return FIRST_DRAFT_TOKENS
        return min(most, int((self._max_slowdown - 1) / ratio))

    def _room(self, sequence: Sequence, num_left: int) -> int:
        """The last token of an answer needs no draft: it comes with the one before it."""
        return min(self.max_tokens, num_left, sequence.max_tokens - sequence.num_tokens - 1)

    def _count(self, is_refused: bool, *, has_drafts: bool) -> None:
        """Steps in which drafts were too dear, up to one that has some all the same."""
        if is_refused:
            self._num_refusals += 1
        elif has_drafts and self._num_refusals >= MAX_REFUSALS:
            self._num_refusals = 0

    def _drafter_of(self, sequence: Sequence) -> Drafter | None:
        """None where a token depends on others by more than the model: on their counts, on a form."""
        if sequence.counts is not None or sequence.form is not None:
            return None
        if sequence.drafter is None:
            # What is drawn is guessed less often than what is likeliest.
            chance = self._chances[sequence.job.sampling.temperature > 0]
            sequence.drafter = Drafter(sequence.token_ids, chance)
        return sequence.drafter
