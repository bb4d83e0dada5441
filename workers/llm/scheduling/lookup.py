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
# Share of the newest draft in a sequence's hit rate, and in what is expected of first drafts.
WEIGHT, FIRST_WEIGHT = 0.2, 0.1


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


class Chance:
    """What share of a draft is right that nothing of its own text speaks for: as lately for others."""

    def __init__(self) -> None:
        self.rate = FIRST_HIT_RATE

    def note(self, share: float) -> None:
        self.rate += FIRST_WEIGHT * (share - self.rate)


class Drafter:
    """Guesses how one sequence goes on: more tokens at once the more were right, after none a rest."""

    def __init__(self, token_ids: list[int], chance: Chance) -> None:
        self._token_ids = token_ids
        self._chance = chance
        self._index = Index(token_ids)
        self._num_tokens = FIRST_DRAFT_TOKENS
        self._rest = FIRST_REST
        self._num_resting = 0
        self._hit_rate: float | None = None  # once some were right

    @property
    def hit_rate(self) -> float:
        """The share of its tokens that were right, as far as its last drafts tell."""
        return self._chance.rate if self._hit_rate is None else self._hit_rate

    def is_resting(self) -> bool:
        """Asked once a step: the rest grows shorter by it."""
        if self._num_resting:
            self._num_resting -= 1
            return True
        return False

    def draft(self, max_tokens: int) -> list[int]:
        """At most so many tokens. The text is looked at only now: who rests costs nothing."""
        place = self._index.find()
        if place is None:
            return []
        # At the text's end it goes round: what repeats itself goes on doing so.
        period = len(self._token_ids) - place
        return [self._token_ids[place + i % period] for i in range(min(self._num_tokens, max_tokens))]

    def note(self, num_drafted: int, num_accepted: int) -> None:
        """So many tokens of its draft were right."""
        share = num_accepted / num_drafted
        if self._hit_rate is None:
            self._chance.note(share)
        if num_accepted:
            self._hit_rate = self.hit_rate + WEIGHT * (share - self.hit_rate)
            self._num_tokens = 2 * num_drafted if num_accepted == num_drafted else num_accepted + 1
            self._rest = FIRST_REST
        else:
            self._hit_rate = None
            self._num_tokens = FIRST_DRAFT_TOKENS
            self._num_resting, self._rest = self._rest, min(2 * self._rest, MAX_REST)
