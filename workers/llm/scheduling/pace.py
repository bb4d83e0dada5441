"""How much of a long prompt is computed in one step beside others' tokens."""

from workers.llm.scheduling.estimates import mixed

# Up to this a prompt is let in as it is: computed in pieces it would make the batch grow too slowly.
MAX_SHORT_TOKENS = 128
# Less than this is not worth a step's fixed costs: a prompt must come to its end.
MIN_TOKENS = 4
# One step in so many goes without long prompts: answers grow, and what their step takes with them.
STEPS_PER_LOOK = 32


class Pace:
    """Learns what steps cost: `decode_s` one without prompts, `token_s` each token of a prompt more.

    Seconds of steps of this very model on this very machine, so there is nothing to set per machine. Until
    both are known a step takes few tokens of long prompts, so that the first one stalls nobody either.
    """

    def __init__(self, max_tokens: int, max_slowdown: float) -> None:
        self._max_tokens = max_tokens
        self._max_slowdown = max_slowdown
        self._decode_s = 0.0
        self._token_s = 0.0
        self._rest_s, self._rest_tokens = 0.0, 0.0  # what prompts beside decodes took, and their tokens
        self._num_unseen = 0  # steps since the last whose decodes were measured alone

    def max_long_tokens(self, num_decodes: int) -> int:
        """Of all long prompts together in a step with so many decodes. Asked once a step."""
        room = self._max_tokens - num_decodes
        if not (num_decodes and self._max_slowdown):
            return room
        if not (self._decode_s and self._token_s):
            return min(room, 4 * MIN_TOKENS)
        if self._num_unseen >= STEPS_PER_LOOK:
            self._num_unseen = 0
            return 0
        num_tokens = int((self._max_slowdown - 1) * self._decode_s / self._token_s)
        return min(room, max(MIN_TOKENS, num_tokens))

    def note(self, num_decodes: int, num_prompt_tokens: int, step_s: float) -> None:
        """What a step has taken."""
        self._num_unseen = self._num_unseen + 1 if num_prompt_tokens else 0
        if not num_prompt_tokens:
            self._decode_s = mixed(self._decode_s, step_s)
        elif not num_decodes:
            self._token_s = mixed(self._token_s, step_s / num_prompt_tokens)
        elif self._decode_s:
            self._note_beside(num_prompt_tokens, step_s - self._decode_s)

    def _note_beside(self, num_prompt_tokens: int, rest_s: float) -> None:
        """The rest of a step may be less than nothing: on a busy machine only its mean tells something."""
        self._rest_s = mixed(self._rest_s, rest_s)
        self._rest_tokens = mixed(self._rest_tokens, num_prompt_tokens)
        # Nor may the mean say that prompts are free: then they are cheap.
        self._token_s = max(self._rest_s, 0.1 * self._decode_s) / self._rest_tokens
