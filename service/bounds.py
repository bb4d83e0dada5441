"""What params are held against beside their own types: the settings' limits, and the model's."""

from typing import NoReturn

from aiohttp import web

from service.errors import BadParams
from service.keys import SETTINGS


class Bounds:
    """Checks of one API: what is beyond a limit is refused as BadParams, with this `status`."""

    def __init__(self, request: web.Request, status: int = 422) -> None:
        self._limits = request.app[SETTINGS].limits
        self._status = status

    def check(self, field: str, count: int, limit: str, unit: str = "") -> None:
        """Hold a number, or one of `unit`s, against the limit of that name in the settings."""
        most = getattr(self._limits, limit)
        if count > most:
            self.refuse(field, f"{count} {unit}".rstrip() + f" > {most} (limits.{limit})")

    def refuse(self, field: str, complaint: str) -> NoReturn:
        raise BadParams(f"$.{field}: {complaint}", param=field, status=self._status)


def check_not_blank(field: str, text: str, status: int = 422) -> None:
    if not text.strip():
        message = f"$.{field}: expected some text, not only white space"
        raise BadParams(message, param=field, status=status)
