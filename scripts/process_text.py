#!/usr/bin/env python3
"""Shows a text on its way through the pipeline: `scripts/process_text.py "I love this. Anna lives in Bonn."`

Reads the text from standard input when none is given. Stages and progress go to standard error, the
result, as JSON, to standard output.
"""

import argparse
import json
import sys
import time
from typing import Any

from terminal import Complaint, Talk, bar, explain, parser, run

MAX_CHARS = 100


class Screen:
    """Says what a stage is at; where standard error is a terminal, one line is overwritten."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._begun_at = time.monotonic()
        self._has_open_line = False

    def seconds(self) -> float:
        return time.monotonic() - self._begun_at

    def stage(self, text: str) -> None:
        self._end_line()
        print(f"{self.seconds():7.3f} s  {text}", file=sys.stderr, flush=True)

    def progress(self, share: float, text: str) -> None:
        """A bar that grows in its place; elsewhere than on a terminal, a line for each."""
        line = f"           {bar(share)}  {text}"[:MAX_CHARS]
        if self._is_terminal:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
            self._has_open_line = True
        else:
            print(line, file=sys.stderr, flush=True)

    def text(self, text: str) -> None:
        """Text as it is generated."""
        if not self._has_open_line:
            print(" " * 11, end="", file=sys.stderr)
            self._has_open_line = True
        print(text, end="", file=sys.stderr, flush=True)

    def _end_line(self) -> None:
        if self._has_open_line:
            print(file=sys.stderr)
            self._has_open_line = False


class Result:
    """Gathers what the events say."""

    def __init__(self, screen: Screen) -> None:
        self.status = ""
        self.sections: dict[str, Any] = {}
        self._screen = screen

    def take(self, event: dict[str, Any]) -> None:
        """Show one event and keep what it brings. Raises Complaint for an error object."""
        self.status = event["status"]
        if self.status == "error":
            raise Complaint(explain(event["error"]))
        stage, _, kind = self.status.partition("_")
        if kind == "progress":
            self._progress(event)
        elif kind == "complete":
            self.sections[stage] = {name: value for name, value in event.items() if name != "status"}
            self._screen.stage(f"{stage} complete")
        elif kind == "error":
            self.sections[stage] = {"error": event["error"]}
            self._screen.stage(f"{stage} failed: {event['error']}")
        else:
            self._screen.stage(str(event.get("message") or self.status.replace("_", " ")))

    def figures(self) -> str:
        return f"{len(self.sections)} sections, {self._screen.seconds():.3f} s"

    def _progress(self, event: dict[str, Any]) -> None:
        if "text" in event:
            self._screen.text(event["text"])
        else:
            chunk = event["chunk_result"]
            self._screen.progress(event["progress"], f"{chunk['sentiment']:8} {chunk['chunk']!r}")


def main() -> int:
    flags = read_flags()

    async def show(talk: Talk) -> str:
        result = Result(Screen())
        async with talk.post("/process-stream", wishes(flags)) as response:
            async for line in response.content:
                result.take(json.loads(line))
        print(json.dumps(result.sections, indent=2, ensure_ascii=False), flush=True)
        if result.status not in ("completed", "cancelled"):
            raise Complaint(f"the answer was cut short: {result.status or 'the stream broke off'}")
        return result.figures()

    return run(flags, show)


def read_flags() -> argparse.Namespace:
    flags = parser("Process a text: sentiment, summary, entities.")
    flags.add_argument("text", nargs="?", help="10 to 5000 characters (else from standard input)")
    flags.add_argument("--chunk-size", type=int, default=200, help="characters, 50 to 500 (%(default)s)")
    for section in ("sentiment", "summary", "entities"):
        flags.add_argument(f"--no-{section}", action="store_true", help=f"leave out the {section}")
    given = flags.parse_args()
    try:
        given.text = given.text if given.text is not None else sys.stdin.read().strip()
    except KeyboardInterrupt:
        sys.exit(130)
    return given


def wishes(flags: argparse.Namespace) -> dict[str, Any]:
    """The request's body."""
    body: dict[str, Any] = {
        "text": flags.text,
        "chunk_size": flags.chunk_size,
        "include_sentiment": not flags.no_sentiment,
        "include_summary": not flags.no_summary,
        "include_entities": not flags.no_entities,
        "stream_text": True,
    }
    return body | ({"model": flags.model} if flags.model else {})


if __name__ == "__main__":
    sys.exit(main())
