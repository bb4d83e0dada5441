"""ROUGE-L (Lin 2004): how much of two texts' words stand in the same order."""

import re

_WORD = re.compile(r"[\w$%'.,-]*\w|\S")


def words(text: str) -> list[str]:
    """The words and numbers in lower case, without punctuation marks."""
    return [word for word in _WORD.findall(text.lower()) if any(sign.isalnum() for sign in word)]


def longest_common(first: list[str], second: list[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for one in first:
        before = 0
        for at, two in enumerate(second, start=1):
            before, row[at] = row[at], before + 1 if one == two else max(row[at], row[at - 1])
    return row[-1]


def rouge_l(said: str, reference: str) -> float:
    """The F1 of ROUGE-L over words, 0 to 1."""
    one, two = words(said), words(reference)
    common = longest_common(one, two)
    return 2 * common / (len(one) + len(two)) if common else 0.0
