"""English inflection: plurals, verb forms, articles, contractions."""

import re

_SOUNDS_YOU = ("uni", "use", "euro")
_DOUBLED = re.compile(r"(ch|sh|s|x|z|o)$")
_SHORT = (
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("did not", "didn't"),
    ("is not", "isn't"),
    ("are not", "aren't"),
    ("was not", "wasn't"),
    ("were not", "weren't"),
    ("cannot", "can't"),
    ("will not", "won't"),
    ("I am ", "I'm "),
    ("He is ", "He's "),
    ("She is ", "She's "),
    ("It is ", "It's "),
    ("We are ", "We're "),
    ("They are ", "They're "),
    ("You are ", "You're "),
    ("That is ", "That's "),
    ("What is ", "What's "),
    ("I will ", "I'll "),
    ("We will ", "We'll "),
    ("I would ", "I'd "),
)


def with_s(word: str) -> str:
    """The plural of a regular noun, or the he-form of a verb."""
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if _DOUBLED.search(word) and not word.endswith("oo") else "s")


def with_ed(word: str) -> str:
    """The past of a regular verb."""
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ied"
    return word + ("d" if word.endswith("e") else "ed")


def with_ing(word: str) -> str:
    """The -ing form of a verb that doubles nothing."""
    return (word[:-1] if word.endswith("e") and not word.endswith("ee") else word) + "ing"


def a_or_an(word: str) -> str:
    """The indefinite article before this word."""
    vowel = word[0].lower() in "aeiou" and not word.lower().startswith(_SOUNDS_YOU)
    return "an" if vowel else "a"


def contracted(text: str) -> str:
    """The sentence as it is said: `don't`, `I'm`."""
    for long, short in _SHORT:
        if text.endswith((" " + long.strip() + ".", " " + long.strip() + "?")):
            continue
        text = re.sub(rf"\b{long}", short, text)
    return text
