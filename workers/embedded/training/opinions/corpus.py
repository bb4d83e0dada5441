"""Labelled texts: sentences of one sign, of both with a verdict, of none."""

from collections.abc import Iterator
from random import Random

from workers.embedded.training.grammar import polish
from workers.embedded.training.opinions.speaker import OTHER, TAUGHT, Source, Speaker

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
_LABEL = {"-": 0, "0": 1, "+": 2}
_KINDS, _KIND_WEIGHTS = ("plain", "idiom", "negation"), (45, 24, 31)
_ENDS, _END_WEIGHTS = (".", "!", "...", "!!", ""), (80, 11, 2, 2, 5)
Labelled = tuple[str, int]


def _sentence(dice: Random, clause: str, is_calm: bool) -> str:
    if clause.endswith("?"):
        return clause
    return clause + ("." if is_calm else dice.choices(_ENDS, _END_WEIGHTS)[0])


def _joined(dice: Random, clauses: list[tuple[str, bool]]) -> str:
    """Sentences from (clause, is_calm); only the last may lack its end."""
    parts = [_sentence(dice, *clause) for clause in clauses]
    ended = [part if part[-1] in ".!?" else part + "." for part in parts[:-1]]
    # A choice of nothing at the end of a clause leaves its space.
    return polish(" ".join([*ended, parts[-1]]).replace(" .", ".").replace(" !", "!").replace(" ,", ","))


def _opinion(speaker: Speaker, dice: Random, sign: str) -> tuple[str, bool]:
    return speaker.clause(dice.choices(_KINDS, _KIND_WEIGHTS)[0], sign), False


def _plain_facts(speaker: Speaker, count: int) -> list[tuple[str, bool]]:
    return [(speaker.clause("neutral", "0"), True) for _ in range(count)]


def _sided(speaker: Speaker, dice: Random, sign: str) -> list[tuple[str, bool]]:
    """Opinions of one sign, facts among them; now and then one opinion against two or more."""
    if dice.random() < 0.33:
        return [(speaker.clause("mixed", sign), False), *_plain_facts(speaker, dice.choice((0, 0, 0, 1)))]
    many = dice.choices((1, 2, 3, 4, 6), (58, 22, 12, 6, 2))[0]
    said = [_opinion(speaker, dice, sign) for _ in range(many)]
    if many >= 3 and dice.random() < 0.4:
        said[dice.randrange(many - 1)] = _opinion(speaker, dice, OTHER[sign])
    for fact in _plain_facts(speaker, dice.choices((0, 1, 2, 4), (62, 22, 12, 4))[0]):
        said.insert(dice.randint(0, len(said)), fact)
    return said


def _unsided(speaker: Speaker, dice: Random) -> list[tuple[str, bool]]:
    """Facts; or an undecided sentence; or one opinion of each sign and no verdict."""
    drawn = dice.random()
    facts = _plain_facts(speaker, dice.choices((0, 1, 2), (70, 20, 10))[0])
    if drawn < 0.10:
        return [*facts, (speaker.clause("undecided", "0"), True)]
    if drawn < 0.17:
        both = [_opinion(speaker, dice, sign) for sign in dice.sample("+-", 2)]
        return [*facts, *both]
    return _plain_facts(speaker, dice.choices((1, 2, 3, 4, 7), (55, 20, 14, 8, 3))[0])


def texts(seed: int, source: Source = TAUGHT) -> Iterator[Labelled]:
    """Endless texts with their labels, the same for the same seed."""
    dice = Random(seed)
    speaker = Speaker(dice, source)
    while True:
        speaker.turn()
        sign = dice.choice("+-0")
        said = _unsided(speaker, dice) if sign == "0" else _sided(speaker, dice, sign)
        yield _joined(dice, said), _LABEL[sign]


def first_texts(seed: int) -> Iterator[Labelled]:
    """Endless short texts: what words mean is learned from them several times as fast."""
    dice = Random(seed)
    speaker = Speaker(dice, TAUGHT)
    while True:
        speaker.turn()
        kind = dice.choices(("plain", "idiom", "negation", "neutral"), (50, 12, 10, 28))[0]
        sign = "0" if kind == "neutral" else dice.choice("+-")
        yield _joined(dice, [(speaker.clause(kind, sign), False)]), _LABEL[sign]


def of_kind(seed: int, kind: str, source: Source) -> Iterator[Labelled]:
    """Endless single sentences of one kind; neutral and undecided ones have no sign."""
    dice = Random(seed)
    speaker = Speaker(dice, source)
    while True:
        speaker.turn()
        sign = "0" if kind in ("neutral", "undecided") else dice.choice("+-")
        yield _joined(dice, [(speaker.clause(kind, sign), True)]), _LABEL[sign]
