"""What the terminal clients share: flags, a session with the service, Ctrl-C, and errors in words.

A client shows one stream or a chat. Exit status: 0 whole, 1 an error (said on standard error), 130 cancelled.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

try:
    import aiohttp
    import PIL  # noqa: F401 - for those who show pictures
except ModuleNotFoundError:
    # Called with the system's Python: go on with the one that scripts/serve installed into.
    PYTHON = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
    if not PYTHON.exists() or Path(sys.prefix) == PYTHON.parent.parent:
        sys.exit("aiohttp or Pillow is missing; run scripts/serve or scripts/environment once")
    os.execv(PYTHON, [str(PYTHON), *sys.argv])

# After it the connection just closes, which ends the job too.
CANCEL_TIMEOUT_S = 5
# Of a line that has a picture in it.
MAX_LINE_BYTES = 64 << 20
BAR_CHARS = 24


class Complaint(Exception):
    """Why there is no answer, or no whole one, in words for the user."""


class Talk:
    """A session with the service, and the id of the stream that it shows, once that is known."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.stream_id = ""

    @asynccontextmanager
    async def post(
        self, path: str, body: dict[str, Any], accept: str = "*/*"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A streamed answer. Raises Complaint when the service refuses."""
        headers = {"Accept": accept}
        async with self.session.post(
            path, json=body, headers=headers, read_bufsize=MAX_LINE_BYTES
        ) as response:
            if response.status != 200:
                raise Complaint(_refusal(response.status, await response.text()))
            self.stream_id = response.headers.get("X-Stream-Id", "")
            yield response

    async def cancel(self, showing: asyncio.Task[str]) -> str:
        """End the stream at the service, and show what it had sent by then; return its last words.

        The connection stays open meanwhile: had it closed first, the stream would end as `client_gone`.
        """
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                if self.stream_id:
                    async with self.session.post(f"/streams/{self.stream_id}/cancel"):
                        return await showing
        except (aiohttp.ClientError, Complaint, TimeoutError) as error:
            print(f"could not cancel: {error or 'no answer'}", file=sys.stderr)
        finally:
            showing.cancel()
        return ""


def parser(description: str) -> argparse.ArgumentParser:
    """Flags that every client has."""
    flags = argparse.ArgumentParser(description=f"{description} Ctrl-C cancels it.")
    flags.add_argument("--url", default="http://127.0.0.1:8080", help="where the service is (%(default)s)")
    flags.add_argument("--model", help="the service's first when not given")
    flags.add_argument("--key", default=os.environ.get("SLUICE_KEY"), help="API key (else from SLUICE_KEY)")
    return flags


def run(flags: argparse.Namespace, show: Callable[[Talk], Coroutine[Any, Any, str]]) -> int:
    """Show a stream to its end; return the exit status. What `show` returns is said last."""
    try:
        return asyncio.run(_follow(flags, show))
    except Complaint as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def _follow(flags: argparse.Namespace, show: Callable[[Talk], Coroutine[Any, Any, str]]) -> int:
    headers = {"Authorization": f"Bearer {flags.key}"} if flags.key else {}
    # Only connecting has a limit: the service ends what hangs.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(flags.url, headers=headers, timeout=timeout) as session:
        talk = Talk(session)
        showing = asyncio.create_task(show(talk))
        try:
            said = await asyncio.shield(showing)
        except asyncio.CancelledError:
            print(f"[cancelled] {await talk.cancel(showing)}", file=sys.stderr)
            return 130
        except aiohttp.ClientConnectorError as error:
            raise Complaint(
                f"cannot reach {flags.url}: {error.strerror}; is scripts/serve running?"
            ) from error
        except aiohttp.ClientError as error:
            raise Complaint(f"the connection broke: {error}") from error
    print(f"[{said}]", file=sys.stderr)
    return 0


def _refusal(status: int, text: str) -> str:
    try:
        return f"{status}: {explain(json.loads(text)['error'])}"
    except (ValueError, KeyError, TypeError):
        return f"{status}: {text[:200]}"


def bar(share: float) -> str:
    """How much is done, 0 to 1."""
    filled = round(share * BAR_CHARS)
    return f"[{'#' * filled}{'.' * (BAR_CHARS - filled)}] {share:4.0%}"


def explain(error: dict[str, Any]) -> str:
    """An error object in one line."""
    code = f" [{error['code']}]" if error.get("code") else ""
    return f"{error.get('message', error)}{code}"
