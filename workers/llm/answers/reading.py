"""How likely the model finds a prompt's own tokens: told with the prompt's text, as far as it is computed."""

from workers.detokenizer import Detokenizer
from workers.llm.answers.logprobs import Likelihood, Trail

# Of a step's logits, those that prompts are read by: 64 MB of them, and as much again for each of two copies.
MAX_READ_NUMBERS = 1 << 24


class Reading:
    """A prompt of which the first `num_read` tokens are told. The very first has nothing to be expected by.

    The entries go into the `trail`, none behind the `max_chars` of the prompt's text: what its tokens give
    may be longer.
    """

    def __init__(self, prompt_ids: list[int], detokenizer: Detokenizer, trail: Trail, max_chars: int) -> None:
        self._prompt_ids = prompt_ids
        self._detokenizer = detokenizer
        self._trail = trail
        self._max_chars = max_chars
        self._num_chars = 0
        self.num_read = 0
        self._tell(None)

    @property
    def is_over(self) -> bool:
        return self.num_read >= len(self._prompt_ids)

    @property
    def num_chars(self) -> int:
        """Characters of the prompt's text before the first token that is not told."""
        return self._num_chars

    def next_ids(self, num_tokens: int) -> list[int]:
        """The next that are to be told."""
        return self._prompt_ids[self.num_read : self.num_read + num_tokens]

    def take(self, likelihoods: list[Likelihood]) -> None:
        """Tell the next tokens."""
        for likelihood in likelihoods:
            self._tell(likelihood)

    def _tell(self, likelihood: Likelihood | None) -> None:
        token_id = self._prompt_ids[self.num_read]
        self._trail.add(token_id, likelihood, self._num_chars)
        num_chars = self._num_chars + len(self._detokenizer.push(token_id))
        self._num_chars = min(num_chars, self._max_chars)
        self.num_read += 1
