"""German inflection: articles, adjective endings, verbs in the present and the simple past."""

from typing import Literal

Case = Literal["nom", "acc", "dat"]
Gender = Literal["m", "f", "n", "p"]
CASES: tuple[Case, ...] = ("nom", "acc", "dat")

# Rows nom, acc, dat; columns m, f, n, plural.
_COLUMNS = {"m": 0, "f": 1, "n": 2, "p": 3}
_DER = {"nom": ("der", "die", "das", "die"), "acc": ("den", "die", "das", "die")} | {
    "dat": ("dem", "der", "dem", "den")
}
_DIESER = {"nom": ("er", "e", "es", "e"), "acc": ("en", "e", "es", "e"), "dat": ("em", "er", "em", "en")}
_EIN = {"nom": ("", "e", "", "e"), "acc": ("en", "e", "", "e"), "dat": ("em", "er", "em", "en")}
_WEAK = {"nom": ("e", "e", "e", "en"), "acc": ("en", "e", "e", "en"), "dat": ("en",) * 4}
_MIXED = {"nom": ("er", "e", "es", "en"), "acc": ("en", "e", "es", "en"), "dat": ("en",) * 4}
_EIN_WORDS = ("ein", "kein", "mein", "dein", "sein", "ihr", "unser")
_DIESER_WORDS = ("dies", "jed", "welch")

_CONTRACTIONS = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("an", "das"): "ans",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
    ("bei", "dem"): "beim",
    ("von", "dem"): "vom",
}

# Present and simple past of ich, du, er, wir (sie); where they cannot be derived.
_IRREGULAR = {
    "sein": ("bin", "bist", "ist", "sind"),
    "war": ("war", "warst", "war", "waren"),
    "hatte": ("hatte", "hattest", "hatte", "hatten"),
    "haben": ("habe", "hast", "hat", "haben"),
    "werden": ("werde", "wirst", "wird", "werden"),
    "können": ("kann", "kannst", "kann", "können"),
    "müssen": ("muss", "musst", "muss", "müssen"),
    "wollen": ("will", "willst", "will", "wollen"),
    "dürfen": ("darf", "darfst", "darf", "dürfen"),
    "sollte": ("sollte", "solltest", "sollte", "sollten"),
    "möchten": ("möchte", "möchtest", "möchte", "möchten"),
    "mögen": ("mag", "magst", "mag", "mögen"),
    "konnte": ("konnte", "konntest", "konnte", "konnten"),
    "musste": ("musste", "musstest", "musste", "mussten"),
    "wollte": ("wollte", "wolltest", "wollte", "wollten"),
}


def article(stem: str, case: Case, gender: str) -> str:
    """The article or what stands for it: `der`, or one of the stems `ein kein mein … dies jed`."""
    column = _COLUMNS[gender]
    if stem == "der":
        return _DER[case][column]
    endings = _DIESER if stem in _DIESER_WORDS else _EIN
    return stem + endings[case][column]


def ending(stem: str, case: Case, gender: str) -> str:
    """An adjective's ending after this article; an empty stem is no article at all."""
    column = _COLUMNS[gender]
    if stem == "der" or stem in _DIESER_WORDS:
        return _WEAK[case][column]
    if stem in _EIN_WORDS:
        return _MIXED[case][column]
    return _DIESER[case][column]


def dative_plural(plural: str) -> str:
    """`Hunde` to `Hunden`; `Autos` and `Katzen` stay."""
    return plural if plural.endswith(("n", "s")) else plural + "n"


def joined(preposition: str, phrase: str) -> str:
    """A preposition before a phrase: `in dem Park` is `im Park`."""
    first, _, rest = phrase.partition(" ")
    short = _CONTRACTIONS.get((preposition, first))
    return f"{short} {rest}" if short else f"{preposition} {phrase}".strip()


def finite(infinitive: str, he: str, person: int) -> str:
    """The form for ich (0), du (1), er (2), wir or sie (3), from the infinitive and the er-form."""
    if infinitive in _IRREGULAR:
        return _IRREGULAR[infinitive][person]
    return (_first(infinitive), _second(he), he, infinitive)[person]


def _first(infinitive: str) -> str:
    if infinitive.endswith("eln"):
        return infinitive[:-3] + "le"
    return infinitive[:-1] + "e" if infinitive.endswith("ern") else infinitive[:-2] + "e"


def _second(he: str) -> str:
    stem = he[:-1]
    return he if stem.endswith(("s", "ß", "z", "x")) else stem + "st"
