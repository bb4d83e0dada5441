"""The whole training text: an endless, seeded row of documents ready for the tokenizer."""

import re
from collections.abc import Iterator
from random import Random

from workers.embedded.training.cast import draw_cast
from workers.embedded.training.chats import Messages, as_messages, draw_single, draw_talk, draw_turns
from workers.embedded.training.drills import draw_drill
from workers.embedded.training.heldout import QUESTIONS
from workers.embedded.training.plots import draw_plot
from workers.embedded.training.stories import tell, tell_long
from workers.embedded.training.story_talk import draw_story
from workers.embedded.training.words import FAMILY

BEGIN, END = "<|begin|>", "<|end|>"
ROLES = {role: f"<|{role}|>" for role in ("system", "user", "assistant")}
PAD = "<|pad|>"
SPECIAL_TOKENS = (BEGIN, END, *ROLES.values(), PAD)

# One role token, the content, one end token: the same text that the chat template renders.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('roles are system, user and assistant') }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

_SHARE_RAW_STORY, _SHARE_RAW_ANSWER = 0.12, 0.05
_POLITE = ("Please {}", "{} Please.", "{} Thanks!", "Hey, {}", "Hi! {}", "Hello. {}", "Okay, {}", "So, {}")
_UNTOUCHED = re.compile(r"(repeat|say|spell|continue|finish|goes? on|next|upper|convert|write .* in)", re.I)


def noise(dice: Random, prompt: str) -> str:
    """The prompt as people type it: now and then politer, in lower case, unpunctuated, mistyped."""
    if _UNTOUCHED.search(prompt):
        return prompt
    if dice.random() < 0.08:
        form = dice.choice(_POLITE)
        inner = prompt if form.startswith(("{}", "Hi!", "Hello.")) else prompt[0].lower() + prompt[1:]
        prompt = form.replace("{}", inner)
    if dice.random() < 0.15:
        prompt = prompt.lower()
    if dice.random() < 0.15:
        prompt = prompt.rstrip(".!?")
    return _mistype(dice, prompt) if dice.random() < 0.04 else prompt


def _mistype(dice: Random, prompt: str) -> str:
    at = dice.randrange(len(prompt))
    if not prompt[at : at + 2].isalpha():
        return prompt
    swapped = prompt[:at] + prompt[at : at + 2][::-1] + prompt[at + 2 :]
    return dice.choice((swapped, prompt[:at] + prompt[at + 1 :]))


def render(messages: Messages) -> str:
    """A conversation as one document, exactly as the chat template writes it."""
    turns = (f"{ROLES[message['role']]}{message['content'].strip()}{END}" for message in messages)
    return BEGIN + "".join(turns)


def _raw_story(dice: Random) -> str:
    cast = draw_cast(dice)
    plot = draw_plot(dice, FAMILY[cast.thing])
    text = tell_long(dice, cast, plot) if dice.random() < 0.2 else tell(dice, cast, plot)
    return f"{BEGIN}{text}{END}"


def _raw_answer(dice: Random) -> str:
    told = draw_story(dice) if dice.random() < 0.4 else None
    question, answer = (told.prompt, told.story) if told else draw_single(dice)
    return f"{BEGIN}{noise(dice, question)}\n\n{answer}{END}"


def _drill(dice: Random) -> str:
    return render(as_messages(dice, [draw_drill(dice)], lambda _, prompt: prompt))


def draw_document(dice: Random, drills: float, talk: float) -> str:
    """One document: a drill, a chat, a bare story, or a bare question with its answer."""
    if dice.random() < drills:
        return _drill(dice)
    if talk and dice.random() < talk:
        return render(as_messages(dice, draw_talk(dice), noise))
    form = dice.random()
    if form < _SHARE_RAW_STORY:
        return _raw_story(dice)
    if form < _SHARE_RAW_STORY + _SHARE_RAW_ANSWER:
        return _raw_answer(dice)
    return render(as_messages(dice, draw_turns(dice), noise))


def is_kept_back(document: str) -> bool:
    """Whether a document asks a question that only the evaluation may ask."""
    return any(question in document for question in QUESTIONS)


def documents(seed: int, drills: float = 0.1, talk: float = 0.0) -> Iterator[str]:
    """Documents without end; the same seed gives the same row.

    A share are drills, and of the rest a further share are short answers only: `talk`.
    """
    dice = Random(seed)
    while True:
        document = draw_document(dice, drills, talk)
        if not is_kept_back(document):
            yield document
