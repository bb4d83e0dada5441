"""Whole conversations: one question, or several with follow-ups that look back."""

from collections.abc import Callable
from random import Random

from workers.embedded.training.cast import Wish, draw_cast
from workers.embedded.training.grammar import write
from workers.embedded.training.plots import draw_plot
from workers.embedded.training.poems import draw_description, draw_poem
from workers.embedded.training.stories import tell, tell_short
from workers.embedded.training.story_talk import Told, any_story, continued_story, draw_story
from workers.embedded.training.tasks import draw_task
from workers.embedded.training.texts import parted, read_lines, read_wordings
from workers.embedded.training.topics import GREETINGS, IDENTITY, REFUSALS, SERVICE, STREAMING, draw_topic
from workers.embedded.training.words import FAMILY, NAMES, PLACES
from workers.embedded.training.world import draw_world

SYSTEMS = [line for line in read_lines("systems") if line]

Turns = list[tuple[str, str]]
Messages = list[dict[str, str]]

Singles = tuple[tuple[int, Callable[[Random], tuple[str, str]]], ...]

SINGLES: Singles = (
    (5, any_story),
    (6, continued_story),
    (7, draw_poem),
    (5, draw_description),
    (10, lambda dice: draw_topic(dice, GREETINGS)),
    (7, lambda dice: draw_topic(dice, IDENTITY)),
    (7, lambda dice: draw_topic(dice, REFUSALS)),
    (17, lambda dice: draw_topic(dice, STREAMING)),
    (12, lambda dice: draw_topic(dice, SERVICE)),
    (12, draw_task),
    (12, draw_world),
)
_SHORT = tuple(row for row in SINGLES if row[1] not in (any_story, continued_story))
_AFTER = read_wordings("wordings")


def draw_single(dice: Random, kinds: Singles = SINGLES) -> tuple[str, str]:
    """One question and its answer, of any kind but a story with a topic."""
    weights = [weight for weight, _ in kinds]
    drawers = [drawer for _, drawer in kinds]
    return dice.choices(drawers, weights=weights)[0](dice)


def draw_talk(dice: Random) -> Turns:
    """One to four short questions and answers without a story."""
    return [draw_single(dice, _SHORT) for _ in range(dice.randint(1, 4))]


def _about_story(dice: Random, told: Told) -> tuple[str, str]:
    cast = told.cast
    slots = {
        **cast.slots,
        "fkind": cast.friend.kind,
        "name": cast.hero.name or "",
        "fname": cast.friend.name or "",
        "moral": told.plot.moral,
    }
    asks = parted(_AFTER["about"])
    if cast.hero.name:
        asks += parted(_AFTER["about hero"]) * 2
    if cast.friend.name:
        asks += parted(_AFTER["about friend"])
    ask, answer = dice.choice(asks)
    return write(dice, ask, slots), write(dice, answer, slots)


def _story_chat(dice: Random) -> Turns:
    told = draw_story(dice)
    turns = [(told.prompt, told.story)]
    follow = dice.random()
    if follow < 0.5:
        turns.append(_about_story(dice, told))
    elif follow < 0.7:
        turns.append((dice.choice(_AFTER["shorter"]), tell_short(dice, told.cast, told.plot)))
    else:
        kind = dice.choice((None, told.cast.hero.kind))
        cast = draw_cast(dice, Wish(kind=kind))
        ask = dice.choice(_AFTER["again"]) if kind is None else f"Another one about the {kind}, please."
        turns.append((ask, tell(dice, cast, draw_plot(dice, FAMILY[cast.thing]))))
    if dice.random() < 0.3:
        turns.append(
            (
                dice.choice(_AFTER["thanks"]),
                write(dice, "[You are welcome!|I am glad that you liked it.] [Shall I tell another one?|]"),
            )
        )
    return turns


def _name_chat(dice: Random) -> Turns:
    name = dice.choice(NAMES[dice.choice(("he", "she"))])
    hello = write(dice, "[Hello|Hi|Hey]! [My name is|I am|I'm] {name}.", {"name": name})
    turns = [
        (
            hello,
            write(
                dice,
                "[Hello|Hi], {name}! [Nice to meet you.|It is good to meet you.] [What can I do for you?|]",
                {"name": name},
            ),
        )
    ]
    turns += [draw_single(dice) for _ in range(dice.randint(0, 2))]
    ask = dice.choice(("What is my name?", "Do you remember my name?", "What's my name?", "Who am I?"))
    return [*turns, (ask, write(dice, "Your name is {name}.", {"name": name}))]


def _place_chat(dice: Random) -> Turns:
    place = dice.choice(tuple(PLACES))
    first = draw_poem(dice)
    second = draw_poem(dice, f"the {place}")
    return [
        first,
        (f"[Now|And] one about the {place}.".replace("[Now|And]", dice.choice(("Now", "And"))), second[1]),
    ]


def draw_turns(dice: Random) -> Turns:
    """The questions and answers of one conversation, from one turn up to five."""
    form = dice.random()
    if form < 0.38:
        told = draw_story(dice)
        return [(told.prompt, told.story)]
    if form < 0.68:
        return [draw_single(dice)]
    if form < 0.82:
        return _story_chat(dice)
    if form < 0.87:
        return _name_chat(dice)
    if form < 0.89:
        return _place_chat(dice)
    greeting = [draw_topic(dice, GREETINGS[:4])] if dice.random() < 0.4 else []
    return [*greeting, *(draw_single(dice) for _ in range(dice.randint(2, 4)))]


def as_messages(dice: Random, turns: Turns, noise: Callable[[Random, str], str]) -> Messages:
    """The turns as chat messages, under a system prompt in a third of the cases."""
    messages = [{"role": "system", "content": dice.choice(SYSTEMS)}] if dice.random() < 0.33 else []
    for question, answer in turns:
        messages.append({"role": "user", "content": noise(dice, question)})
        messages.append({"role": "assistant", "content": answer})
    return messages
