"""What the training text never contains, so that the evaluation can ask for something new."""

from zlib import crc32

# The pair everyone will try first, and a few more that are easy to remember.
NAMED_PAIRS = frozenset(
    {
        ("fox", "lantern"),
        ("owl", "kite"),
        ("bear", "drum"),
        ("mouse", "umbrella"),
        ("rabbit", "key"),
        ("dragon", "teapot"),
        ("cat", "violin"),
        ("girl", "boat"),
        ("robot", "flower"),
        ("turtle", "clock"),
        ("wizard", "broom"),
        ("penguin", "scarf"),
    }
)

# One pair in so many is kept back beside the named ones.
_SHARE = 25


def is_held_out(kind: str, thing: str) -> bool:
    """Whether this being never meets this object in the training text."""
    return (kind, thing) in NAMED_PAIRS or crc32(f"{kind}+{thing}".encode()) % _SHARE == 0


# Wordings of a request for a story that only the evaluation uses.
STORY_WORDINGS = (
    "I would love to hear a tale of a(n) {kind} and a(n) {thing}.",
    "Make up a story in which a(n) {kind} has a(n) {thing}.",
    "Could I have a story with a(n) {thing} and a(n) {kind} in it?",
    "Story time! A(n) {kind} and a(n) {thing}, please.",
)

# Questions that have an answer in the training text under other wordings only, each with words of
# which a sensible answer holds at least one (in lower case).
KEYWORDS = {
    "Hello there, how do you do?": ("hello", "hi", "well", "fine"),
    "Hi! Nice to see you.": ("hello", "hi", "nice", "story"),
    "So what exactly are you?": ("model",),
    "Please introduce yourself to me.": ("model",),
    "In simple words, what does streaming mean?": ("stream", "piece", "token"),
    "Could you tell me what Server-Sent Events are?": ("server", "http", "event"),
    "Would you explain backpressure to me?": ("slow", "reader"),
    "How would I cancel an answer that is running?": ("cancel", "close"),
    "Which port is the service on?": ("8080",),
    "How may I use a model of my own here?": ("--model",),
    "What is the use of NDJSON?": ("json", "line"),
    "Could you tell me what a token is?": ("piece", "text"),
    "Please give me the names of three animals.": (" and ", "- "),
    "Could you name three colours for me?": (
        "red",
        "blue",
        "green",
        "yellow",
        "white",
        "grey",
        "pink",
        "black",
    ),
    "Which sound is made by a cow?": ("moo",),
    "What noise comes from a duck?": ("quack",),
    "Could you tell me the opposite of hot?": ("cold",),
    "Please count for me from two to seven.": ("2, 3, 4, 5, 6, 7",),
    "Would you write a small poem about the sea?": ("sea",),
    "How does one resume a stream that broke?": ("last-event-id", "resumable"),
    "Who is going to win the election?": ("small demonstration model",),
    "Tell me today's news, please.": ("small demonstration model",),
    "Which colour does grass have?": ("green",),
    "After Monday, which day comes?": ("tuesday",),
}
QUESTIONS = tuple(KEYWORDS)
