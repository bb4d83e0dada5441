#!/usr/bin/env python3
"""Streams the answer to a prompt to the terminal: `scripts/stream_chat.py "Tell me a story."`

Exit status: 0 whole, 1 an error (said on standard error), 130 cancelled with Ctrl-C.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

try:
    import aiohttp
except ModuleNotFoundError:
    # Called with the system's Python: go on with the one that scripts/serve installed into.
    PYTHON = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
    if not PYTHON.exists() or Path(sys.prefix) == PYTHON.parent.parent:
        sys.exit("stream_chat: aiohttp is missing; run scripts/serve or scripts/environment once")
    os.execv(PYTHON, [str(PYTHON), *sys.argv])

WHOLE = ("stop", "length")
# After it the connection just closes, which ends the job too.
CANCEL_TIMEOUT_S = 5


class ChatError(Exception):
    """Why there is no answer, or no whole one, in words for the user."""


class Answer:
    """One streamed answer as it arrives: its figures, and what it takes to cancel it."""

    def __init__(self) -> None:
        self.stream_id = ""
        self.finish_reason = ""
        self.num_tokens = 0
        self._begun_at = time.monotonic()
        self._first_at = self._last_at = 0.0

    def take(self, chunk: dict[str, Any]) -> str:
        """Count one chunk and return its text. Raises ChatError for an error object."""
        if error := chunk.get("error"):
            raise ChatError(explain(error))
        text = ""
        for choice in chunk.get("choices", ()):
            text += choice["delta"].get("content") or ""
            self.finish_reason = choice["finish_reason"] or self.finish_reason
        if text:
            self._last_at = time.monotonic()
            self._first_at = self._first_at or self._last_at
            self.num_tokens += 1
        # Chunks may hold several tokens; the usage knows better.
        self.num_tokens = (chunk.get("usage") or {}).get("completion_tokens", self.num_tokens)
        return text

    def figures(self) -> str:
        if not self._first_at:
            return "no tokens"
        took_s = self._last_at - self._first_at
        rate = f", {(self.num_tokens - 1) / took_s:.1f} tokens/s" if took_s and self.num_tokens > 1 else ""
        return f"{self.num_tokens} tokens, first after {self._first_at - self._begun_at:.3f} s{rate}"


def main() -> int:
    try:
        return asyncio.run(chat(read_flags()))
    except ChatError as error:
        print(f"stream_chat: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def read_flags() -> argparse.Namespace:
    flags = argparse.ArgumentParser(description="Stream the answer to a prompt; Ctrl-C cancels it.")
    flags.add_argument("prompt")
    flags.add_argument("--url", default="http://127.0.0.1:8080", help="where the service is (%(default)s)")
    flags.add_argument("--model", help="the service's first when not given")
    flags.add_argument("--max-tokens", type=int)
    flags.add_argument(
        "--temperature", type=float, default=0.7, help="0 for always the likeliest (%(default)s)"
    )
    flags.add_argument("--key", default=os.environ.get("SLUICE_KEY"), help="API key (else from SLUICE_KEY)")
    return flags.parse_args()


async def chat(flags: argparse.Namespace) -> int:
    """Print the answer as it comes and its figures at the end; return the exit status."""
    headers = {"Authorization": f"Bearer {flags.key}"} if flags.key else {}
    # Only connecting has a limit: the service ends what hangs.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    answer = Answer()
    async with aiohttp.ClientSession(flags.url, headers=headers, timeout=timeout) as session:
        showing = asyncio.create_task(show(session, wishes(flags), answer))
        try:
            await asyncio.shield(showing)
        except asyncio.CancelledError:
            await cancel(session, answer, showing)
            print(f"[cancelled] {answer.figures()}", file=sys.stderr)
            return 130
        except aiohttp.ClientConnectorError as error:
            raise ChatError(
                f"cannot reach {flags.url}: {error.strerror}; is scripts/serve running?"
            ) from error
        except aiohttp.ClientError as error:
            raise ChatError(f"the connection broke: {error}") from error
    if answer.finish_reason not in WHOLE:
        raise ChatError(f"the answer was cut short: {answer.finish_reason or 'the stream broke off'}")
    print(f"[{answer.figures()}]", file=sys.stderr)
    return 0


def wishes(flags: argparse.Namespace) -> dict[str, Any]:
    """The request's body."""
    body = {
        "messages": [{"role": "user", "content": flags.prompt}],
        "temperature": flags.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    optional = {"model": flags.model, "max_tokens": flags.max_tokens}
    return body | {name: value for name, value in optional.items() if value is not None}


async def show(session: aiohttp.ClientSession, body: dict[str, Any], answer: Answer) -> None:
    """Print the answer's text as it arrives. Raises ChatError when the service refuses or fails."""
    async with session.post("/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise ChatError(refusal(response.status, await response.text()))
        answer.stream_id = response.headers.get("X-Stream-Id", "")
        try:
            async for line in response.content:
                data = line.removeprefix(b"data: ").strip()
                if line.startswith(b"data: ") and data != b"[DONE]":
                    print(answer.take(json.loads(data)), end="", flush=True)
        finally:
            print(flush=True)


async def cancel(session: aiohttp.ClientSession, answer: Answer, showing: asyncio.Task[None]) -> None:
    """End the stream at the service, and show what it had sent by then.

    The connection stays open meanwhile: had it closed first, the stream would end as `client_gone`.
    """
    try:
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            if answer.stream_id:
                async with session.post(f"/streams/{answer.stream_id}/cancel"):
                    await showing
    except (aiohttp.ClientError, ChatError, TimeoutError) as error:
        print(f"stream_chat: could not cancel: {error or 'no answer'}", file=sys.stderr)
    finally:
        showing.cancel()


def refusal(status: int, text: str) -> str:
    try:
        return f"{status}: {explain(json.loads(text)['error'])}"
    except (ValueError, KeyError, TypeError):
        return f"{status}: {text[:200]}"


def explain(error: dict[str, Any]) -> str:
    """An error object in one line."""
    code = f" [{error['code']}]" if error.get("code") else ""
    return f"{error.get('message', error)}{code}"


if __name__ == "__main__":
    sys.exit(main())
