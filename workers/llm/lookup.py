"""Prompt lookup: what followed a text's newest tokens when they last came is a guess at what follows now.

Saxena, Prompt Lookup Decoding (2023).
"""

# The longer of these is looked for first.
NGRAM_SIZES = (3, 2)
# Tokens taken into the index at once: 4,000 take 3 ms, in which nobody gets a token.
MAX_INDEXED_TOKENS = 4000
FIRST_DRAFT_TOKENS = 2
FIRST_HIT_RATE = 0.5
# Steps without a draft after one that was all wrong; twice as many after each further one.
FIRST_REST, MAX_REST = 4, 128
# Share of the newest draft in the hit rate.
WEIGHT = 0.2


class Index:
    """Where each n-gram of a growing list of tokens ended last, its very end left out.

    Each token is looked at once, however often something is looked for.
    """

    def __init__(self, token_ids: list[int]) -> None:
        self._token_ids = token_ids
        self._ends: dict[tuple[int, ...], int] = {}
        self._num_indexed = 0

    def find(self) -> int | None:
        """The place after the last occurrence of the newest tokens; None where there is none (yet)."""
        if not self._catch_up():
            return None
        newest = (tuple(self._token_ids[-size:]) for size in NGRAM_SIZES)
        return next((self._ends[ngram] for ngram in newest if ngram in self._ends), None)

    def _catch_up(self) -> bool:
        num_known = len(self._token_ids) - 1
        end = min(num_known, self._num_indexed + MAX_INDEXED_TOKENS)
        for place in range(self._num_indexed + 1, end + 1):
            for size in NGRAM_SIZES:
                if place >= size:
                    self._ends[tuple(self._token_ids[place - size : place])] = place
        self._num_indexed = end
        return end == num_known


class Drafter:
    """Guesses how one sequence goes on: more tokens at once the more were right, none for a while after none.

    `hit_rate` is the share of its tokens that were right, as far as its last drafts tell.
    """

    def __init__(self, token_ids: list[int]) -> None:
        self._token_ids = token_ids
        self._index = Index(token_ids)
        self._num_tokens = FIRST_DRAFT_TOKENS
        self._rest = FIRST_REST
        self._num_resting = 0
        self.hit_rate = FIRST_HIT_RATE

    def draft(self, max_tokens: int) -> list[int]:
        """Called once a step; at most so many tokens."""
        place = self._index.find()
        if self._num_resting:
            self._num_resting -= 1
            return []
        if place is None:
            return []
        # At the text's end it goes round: what repeats itself goes on doing so.
        period = len(self._token_ids) - place
        return [self._token_ids[place + i % period] for i in range(min(self._num_tokens, max_tokens))]

    def note(self, num_drafted: int, num_accepted: int) -> None:
        """So many tokens of its draft were right."""
        if num_accepted:
            self.hit_rate += WEIGHT * (num_accepted / num_drafted - self.hit_rate)
            self._num_tokens = 2 * num_drafted if num_accepted == num_drafted else num_accepted + 1
            self._rest = FIRST_REST
        else:
            self.hit_rate = FIRST_HIT_RATE
            self._num_tokens = FIRST_DRAFT_TOKENS
            self._num_resting, self._rest = self._rest, min(2 * self._rest, MAX_REST)
