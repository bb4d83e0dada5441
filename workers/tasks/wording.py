"""What a user's exception says, made fit for a message."""

MAX_CHARS = 500


def say(error: BaseException) -> str:
    """`ValueError: text`, whatever the exception does when it is asked."""
    try:
        text = str(error)
    except BaseException:
        # Also what would end the process: it is the task that has failed, not its worker.
        text = "(its text cannot be had)"
    return clean(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def clean(text: str) -> str:
    """The text, cut to its bound, without the lone surrogates that no message can carry."""
    return text[:MAX_CHARS].encode("utf-8", "replace").decode()
