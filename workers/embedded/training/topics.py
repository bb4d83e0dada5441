"""A topic: the ways to ask one question, and the ways to answer it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from workers.embedded.training.grammar import write
from workers.embedded.training.texts import Block, read_blocks, values

# The usual ways to ask what something is: `what: x` in a text file stands for all of them.
WHAT = (
    "What is {}?",
    "What's {}?",
    "Explain {}.",
    "Can you explain {}?",
    "What does {} mean?",
    "Tell me about {}.",
    "Please explain {}.",
    "Explain {} in simple words.",
    "What do you know about {}?",
    "Explain {} to me.",
    "what is {}",
    "{}?",
    "Define {}.",
    "What is meant by {}?",
    "Explain {} to a child.",
    "How does {} work?",
)


@dataclass(frozen=True)
class Topic:
    """Questions and answers that belong together; any question may get any of the answers."""

    questions: Sequence[str]
    answers: Sequence[str]


def _questions(block: Block) -> list[str]:
    asked: list[str] = []
    for key, value in block:
        if key == "what":
            asked += [form.format(value) for form in WHAT]
        elif key == "Q":
            asked.append(value)
    return asked


def read_topics(name: str) -> list[Topic]:
    """The topics of `texts/<name>.txt`."""
    return [Topic(_questions(block), values(block, "A")) for block in read_blocks(name)]


def draw_topic(dice: Random, topics: Sequence[Topic]) -> tuple[str, str]:
    """A question of one of the topics and an answer to it."""
    topic = dice.choice(topics)
    return write(dice, dice.choice(topic.questions)), write(dice, dice.choice(topic.answers))


GREETINGS, IDENTITY, REFUSALS, STREAMING, SERVICE = map(
    read_topics, ("greetings", "identity", "refusals", "streaming", "service")
)
