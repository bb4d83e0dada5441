#!/usr/bin/env python3
"""Streams the answer to a prompt to the terminal: `scripts/stream_chat.py "Tell me a story."`"""

import argparse
import json
import sys
import time
from typing import Any

from terminal import Complaint, Talk, explain, parser, run

WHOLE = ("stop", "length")


class Answer:
    """One streamed answer as it arrives, and its figures."""

    def __init__(self) -> None:
        self.finish_reason = ""
        self.num_tokens = 0
        self._begun_at = time.monotonic()
        self._first_at = self._last_at = 0.0

    def take(self, chunk: dict[str, Any]) -> str:
        """Count one chunk and return its text. Raises Complaint for an error object."""
        if error := chunk.get("error"):
            raise Complaint(explain(error))
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
    flags = read_flags()

    async def show(talk: Talk) -> str:
        answer = Answer()
        await print_answer(talk, wishes(flags), answer)
        if answer.finish_reason not in (*WHOLE, "cancelled"):
            raise Complaint(f"the answer was cut short: {answer.finish_reason or 'the stream broke off'}")
        return answer.figures()

    return run(flags, show)


def read_flags() -> argparse.Namespace:
    flags = parser("Stream the answer to a prompt.")
    flags.add_argument("prompt")
    flags.add_argument("--max-tokens", type=int)
    flags.add_argument(
        "--temperature", type=float, default=0.7, help="0 for always the likeliest (%(default)s)"
    )
    return flags.parse_args()


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


async def print_answer(talk: Talk, body: dict[str, Any], answer: Answer) -> None:
    """Print the answer's text as it arrives. Raises Complaint when the service refuses or fails."""
    async with talk.post("/v1/chat/completions", body) as response:
        try:
            async for line in response.content:
                data = line.removeprefix(b"data: ").strip()
                if line.startswith(b"data: ") and data != b"[DONE]":
                    print(answer.take(json.loads(data)), end="", flush=True)
        finally:
            print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
