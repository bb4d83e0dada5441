"""What goes wrong within pycrdt is the fault of what it was given: a client's error, never this side's."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import ApiError, BadParams

MAX_REASON_CHARS = 200


@contextmanager
def guarded(field: str) -> Iterator[None]:
    """Raises BadParams naming the field. The Yjs document must not be used any more then."""
    try:
        yield
    except ApiError:
        raise
    except Exception as error:
        raise _refused(field, error) from None
    except BaseException as error:
        # A panic of pycrdt's core is no Exception, and its class cannot be imported.
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise _refused(field, error) from None


def _refused(field: str, error: BaseException) -> BadParams:
    reason = " ".join(str(error).split())[:MAX_REASON_CHARS]
    return BadParams(f"$.{field} is not what Yjs can read: {reason}", param=field, code="bad_update")
