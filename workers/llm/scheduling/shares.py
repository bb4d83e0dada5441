"""Whose turn it is: the owner that was served least, counted in tokens."""

from collections import Counter
from collections.abc import Sequence as Ordered

from workers.llm.answers.sequence import Sequence

# A token of an answer takes a row of a step for itself, one of a prompt shares its step with hundreds: the
# weights of the paper below.
PROMPT_WEIGHT = 1
ANSWER_WEIGHT = 2


class Shares:
    """Virtual token counters (Sheng et al.: Fairness in Serving Large Language Models, 2024).

    Each owner's counter grows with the tokens that are computed for him. Who had nothing to do may not
    save that up: when he comes back he counts at least as much as the least served of those who wait or
    run. While nobody does all counters are gone, so there are never more than owners.
    """

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._num_sequences: Counter[str] = Counter()

    def enter(self, owner: str) -> None:
        """One more of his sequences is there."""
        if not self._num_sequences[owner]:
            least = min((self._served[name] for name, num in self._num_sequences.items() if num), default=0)
            self._served[owner] = max(self._served.get(owner, 0), least)
        self._num_sequences[owner] += 1

    def leave(self, owner: str) -> None:
        self._num_sequences[owner] -= 1
        if not self._num_sequences.total():
            self._served.clear()
            self._num_sequences.clear()

    def charge(self, sequence: Sequence, num_tokens: int) -> None:
        """So many tokens more are computed; what is computed again after a preemption is on the house."""
        end = sequence.num_cached_tokens + num_tokens
        num_new = min(num_tokens, end - sequence.num_charged_tokens)
        if num_new > 0:
            num_answer = min(num_new, max(0, end - sequence.num_prompt_tokens))
            cost = ANSWER_WEIGHT * num_answer + PROMPT_WEIGHT * (num_new - num_answer)
            self._served[sequence.job.owner] += cost
            sequence.num_charged_tokens = end

    def first(self, waiting: Ordered[Sequence]) -> Sequence:
        """The first of the least served owner's."""
        if len(self._served) == 1:
            return waiting[0]
        firsts: dict[str, Sequence] = {}
        for sequence in waiting:
            firsts.setdefault(sequence.job.owner, sequence)
        return min(firsts.values(), key=lambda sequence: self._served[sequence.job.owner])
