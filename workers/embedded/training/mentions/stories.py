"""The stories of the language model as text to read names in: who is in them is known."""

import re
from random import Random

from workers.embedded.training.cast import draw_cast
from workers.embedded.training.mentions.dates import DAYS
from workers.embedded.training.mentions.marks import mark
from workers.embedded.training.mentions.names import Names
from workers.embedded.training.plots import draw_plot
from workers.embedded.training.stories import tell
from workers.embedded.training.words import FAMILY
from workers.embedded.training.words import NAMES as STORY_NAMES

_NAME = re.compile(rf"\b({'|'.join(name for row in STORY_NAMES.values() for name in row)})\b")
_DAY = re.compile(rf"\b({'|'.join(DAYS)})\b")


def draw_story(dice: Random, names: Names) -> str:
    """One paragraph of a story, marked; its people get names of ours."""
    cast = draw_cast(dice)
    paragraph = dice.choice(tell(dice, cast, draw_plot(dice, FAMILY[cast.thing])).split("\n\n"))
    renamed = {name: names.first() for name in dict.fromkeys(_NAME.findall(paragraph))}
    paragraph = _NAME.sub(lambda found: mark("PERSON", renamed[found[1]]), paragraph)
    return _DAY.sub(lambda found: mark("DATE", found[1]), paragraph)
