"""What the evaluation asks and reads: prompts and documents that the training text does not hold."""

from dataclasses import dataclass
from itertools import islice
from random import Random

from workers.embedded.training.cast import Wish, draw_cast
from workers.embedded.training.corpus import documents, render
from workers.embedded.training.grammar import write
from workers.embedded.training.heldout import KEYWORDS, NAMED_PAIRS, STORY_WORDINGS, is_held_out
from workers.embedded.training.plots import draw_plot
from workers.embedded.training.stories import tell
from workers.embedded.training.words import ANIMALS, FAMILY, PEOPLE

SEED = 99
NUM_PROMPTS = 240
SAMPLES = (
    "Tell me a story about a fox and a lantern.",
    "Hello!",
    "What is backpressure?",
    "In simple words, what does streaming mean?",
    "Which port is the service on?",
    "What is 3 + 4?",
    "Write a short poem about the sea.",
    "Who won the election?",
)


@dataclass(frozen=True)
class Prompt:
    """A held-out prompt: the words of which an answer holds all (stories) or one (questions)."""

    text: str
    words: tuple[str, ...]
    is_story: bool

    def is_met(self, answer: str) -> bool:
        """Whether the answer is about what the prompt asked for."""
        found = [word in answer.lower() for word in self.words]
        return all(found) if self.is_story else any(found)


def held_out_prompts() -> list[Prompt]:
    """240 prompts: named pairs in known and new wordings, further pairs, questions in new wordings."""
    dice, prompts = Random(SEED), []
    for kind, thing in sorted(NAMED_PAIRS):
        for wording in ("Tell me a story about a(n) {kind} and a(n) {thing}.", *STORY_WORDINGS):
            text = write(dice, wording, {"kind": kind, "thing": thing})
            prompts.append(Prompt(text, (kind, thing), is_story=True))
    pairs = [(kind, thing) for kind in (*ANIMALS, *PEOPLE) for thing in FAMILY if is_held_out(kind, thing)]
    questions = [Prompt(text, words, is_story=False) for text, words in KEYWORDS.items()]
    for kind, thing in dice.sample(pairs, NUM_PROMPTS - len(prompts) - len(questions)):
        text = write(dice, f"[Tell me|Write] a story about a(n) {kind} and a(n) {thing}.")
        prompts.append(Prompt(text, (kind, thing), is_story=True))
    return prompts + questions


def new_documents(count: int) -> list[str]:
    """Documents of another seed: the same grammar, other draws."""
    return list(islice(documents(SEED), count))


def pair_documents(count: int) -> list[str]:
    """Stories of held-out pairs, asked for in the held-out wordings."""
    dice, rows = Random(SEED), []
    for kind, thing in islice(sorted(NAMED_PAIRS) * count, count):
        cast = draw_cast(dice, Wish(kind=kind, thing=thing))
        question = write(dice, dice.choice(STORY_WORDINGS), {"kind": kind, "thing": thing})
        story = tell(dice, cast, draw_plot(dice, FAMILY[thing]))
        rows.append(render([{"role": "user", "content": question}, {"role": "assistant", "content": story}]))
    return rows
