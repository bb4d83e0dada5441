"""A clause in both languages: the English order, and the German main and subordinate orders."""

from dataclasses import dataclass
from typing import Literal

from workers.embedded.training.translation.english import with_s
from workers.embedded.training.translation.german import finite
from workers.embedded.training.translation.lexicon import Verb
from workers.embedded.training.translation.phrase import Phrase

Pair = tuple[str, str]

BE = Verb("be", ("be", "was", "been", "being"), "", "", "sein", "ist", "gewesen", "sein", {})
_BE = {"present": ("am", "are", "is", "are"), "past": ("was", "were", "was", "were")}

# Tense -> English auxiliary (or a verb that takes do-support), what follows it, German modal.
_AUXILIARIES = {
    "can": ("can", ""),
    "should": ("should", ""),
    "would": ("would", "like to "),
    "could": ("could", ""),
}
_LEXICAL = {
    "want": ("want", "wanted", "to "),
    "have": ("have", "had", "to "),
    "like": ("like", "liked", "to "),
}
_MODALS = {
    "can": "können",
    "should": "sollte",
    "would": "möchten",
    "could": "konnte",
    "want": "wollen",
    "have": "müssen",
    "wanted": "wollte",
    "had": "musste",
    "future": "werden",
}
_LEXICAL_PAST = {"wanted": "want", "had": "have"}


@dataclass(frozen=True)
class Clause:
    """Who does what to whom, when and where; `order` is a statement, or which question is asked."""

    subject: Phrase
    verb: Verb
    tense: str
    negated: bool = False
    dative: Phrase | None = None
    accusative: Phrase | None = None
    rest: Pair | None = None
    time: Pair | None = None
    often: Pair | None = None
    order: Literal["plain", "fronted", "asked", "what", "where", "when", "why", "who"] = "plain"


def _forms(clause: Clause) -> tuple[str, str, str]:
    """English auxiliary, what follows it, and the plain form where the auxiliary is `do` and goes."""
    verb, tense, person = clause.verb, clause.tense, clause.subject.person
    base, past, participle, ing = verb.en
    particle = f" {verb.particle}" if verb.particle else ""
    if verb is BE and tense in _BE:
        return _BE[tense][person], "", ""
    if tense == "future":
        return "will", base + particle, ""
    if tense in _AUXILIARIES:
        auxiliary, more = _AUXILIARIES[tense]
        return auxiliary, more + base + particle, ""
    if tense == "progressive":
        return _BE["present"][person], ing + particle, ""
    if tense == "perfect":
        return "has" if person == 2 else "have", participle + particle, ""
    return _with_do(tense, person, (base + particle, past + particle, _he(base) + particle))


def _with_do(tense: str, person: int, own: tuple[str, str, str]) -> tuple[str, str, str]:
    base, past, he = own
    is_past = tense == "past" or tense in _LEXICAL_PAST
    tense = _LEXICAL_PAST.get(tense, tense)
    if tense in _LEXICAL:
        word, word_past, more = _LEXICAL[tense]
        base, past, he = (f"{form} {more}{base}" for form in (word, word_past, _he(word)))
    do = "did" if is_past else ("does" if person == 2 else "do")
    plain = past if is_past else (he if person == 2 else base)
    return do, base, plain


def _he(word: str) -> str:
    return "has" if word == "have" else with_s(word)


def english(clause: Clause, order: str = "") -> str:
    """The clause without its full stop, beginning in lower case."""
    order = order or clause.order
    auxiliary, tail, plain = _forms(clause)
    no = "not" if clause.negated else ""
    often = clause.often[0] if clause.often else ""
    subject, after = clause.subject.en, _english_after(clause, order)
    if order in ("plain", "fronted", "who"):
        verbs = [often, plain] if plain and not no else [auxiliary, no, often, tail]
        words = [subject, *verbs, *after]
        if order == "fronted" and clause.time:
            words = [clause.time[0], *words]
    else:
        asked = "" if order == "asked" else order
        words = [asked, auxiliary, subject, no, often, tail, *after]
    return " ".join(word for word in words if word).replace("can not", "cannot")


def _english_after(clause: Clause, order: str) -> list[str]:
    given = [clause.dative, None if order == "what" else clause.accusative]
    words = [one.en_object for one in given if one]
    if clause.rest and order != "where":
        words.append(clause.rest[0])
    if clause.time and order not in ("when", "fronted"):
        words.append(clause.time[0])
    return words


def _joined(prefix: str, word: str) -> str:
    return f"{prefix} {word}" if " " in prefix else prefix + word


def infinitive(verb: Verb, zu: bool = False) -> str:
    """`aufstehen`, or with zu `aufzustehen`."""
    if not zu:
        return _joined(verb.prefix, verb.infinitive)
    if verb.prefix and " " not in verb.prefix:
        return f"{verb.prefix}zu{verb.infinitive}"
    return f"{verb.prefix} zu {verb.infinitive}".strip()


def _german_verbs(clause: Clause) -> tuple[str, str]:
    """The finite verb, and what stands at the end of a main clause."""
    verb, tense, person = clause.verb, clause.tense, clause.subject.person
    if tense in _MODALS:
        modal = _MODALS[tense]
        return finite(modal, modal, person), infinitive(verb)
    if tense == "past" and verb.infinitive in ("sein", "haben"):
        return finite("war" if verb.infinitive == "sein" else "hatte", "", person), ""
    if tense in ("past", "perfect"):
        return finite(verb.auxiliary, "", person), verb.participle
    return finite(verb.infinitive, verb.he, person), verb.prefix


def middle(clause: Clause, order: str) -> list[str]:
    """German objects, times, `nicht` and places, in their order."""
    accusative = None if order == "what" else clause.accusative
    objects = [(one, case) for one, case in ((clause.dative, "dat"), (accusative, "acc")) if one]
    said: list[str] = []
    pronouns = [
        one.de["acc" if case == "acc" else "dat"] for one, case in reversed(objects) if one.is_pronoun
    ]
    said += pronouns
    if clause.tense == "like":
        said.append("gern")
    if clause.often:
        said.append(clause.often[1])
    if clause.time and order not in ("fronted", "when"):
        said.append(clause.time[1])
    has_kein = False
    for one, case in objects:
        if one.is_pronoun:
            continue
        use_kein = clause.negated and one.none is not None and case == "acc"
        has_kein = has_kein or use_kein
        forms = one.none if use_kein and one.none else one.de
        said.append(forms["acc" if case == "acc" else "dat"])
    if clause.negated and not has_kein:
        said.append("nicht")
    if clause.rest and order != "where":
        said.append(clause.rest[1])
    return said


_ASKED = {"asked": "", "what": "was", "where": "wo", "when": "wann", "why": "warum"}


def german(clause: Clause, order: str = "") -> str:
    """The main clause without its full stop, beginning in lower case; the finite verb stands second."""
    order = order or clause.order
    verb, end = _german_verbs(clause)
    subject, rest = clause.subject.de["nom"], [*middle(clause, order), end]
    if order in ("plain", "who"):
        words = [subject, verb, *rest]
    else:
        first = clause.time[1] if order == "fronted" and clause.time else _ASKED.get(order, "")
        words = [first, verb, subject, *rest]
    return " ".join(word for word in words if word)


def german_last(clause: Clause) -> str:
    """The subordinate clause after its conjunction: the finite verb stands last."""
    verb, end = _german_verbs(clause)
    last = _joined(end, verb) if end and end == clause.verb.prefix else f"{end} {verb}".strip()
    words = [clause.subject.de["nom"], *middle(clause, "plain"), last]
    return " ".join(word for word in words if word)


def german_zu(clause: Clause) -> str:
    """The infinitive clause: `das Buch zu lesen`."""
    return " ".join([*middle(clause, "plain"), infinitive(clause.verb, zu=True)])
