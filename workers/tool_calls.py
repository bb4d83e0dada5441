"""Text → tool calls, as it comes: `<tool_call>{"name": …, "arguments": …}</tool_call>` (Hermes, Qwen)."""

import re
import secrets

import msgspec

from workers.messages import ToolCallPart

BEGIN, END = "<tool_call>", "</tool_call>"
# A call's beginning, up to its arguments: those are passed on as they come.
HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\S)')


class CallBody(msgspec.Struct):
    """A call whose members stand in another order."""

    name: str
    arguments: msgspec.Raw


class JsonValue:
    """Finds where one JSON value ends, character by character."""

    def __init__(self) -> None:
        self._depth = 0
        self._is_in_string = False
        self._is_escaped = False
        self.is_over = False

    def take(self, text: str) -> str:
        """The part of `text` that belongs to the value."""
        for place, char in enumerate(text):
            if not self._belongs(char):
                self.is_over = True
                return text[:place]
            if self.is_over:
                return text[: place + 1]
        return text

    def _belongs(self, char: str) -> bool:
        """A number or a word ends before what cannot belong to it, all others with their last sign."""
        if self._is_in_string:
            self._end_string(char)
        elif char == '"':
            self._is_in_string = True
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            if not self._depth:
                return False
            self._depth -= 1
            self.is_over = not self._depth
        elif char == "," and not self._depth:
            return False
        return True

    def _end_string(self, char: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif char == "\\":
            self._is_escaped = True
        elif char == '"':
            self._is_in_string = False
            self.is_over = not self._depth


class ToolCallParser:
    """Divides an answer into its text and its calls, each told as it comes.

    Blanks around calls are no text. What looks like a call and is none is text, once it has ended.
    """

    def __init__(self) -> None:
        self.num_calls = 0
        self._buffer = ""
        self._step = self._find_call
        self._value = JsonValue()
        self._shown: list[str] = []
        self._parts: list[ToolCallPart] = []

    def push(self, text: str, *, is_last: bool = False) -> tuple[str, list[ToolCallPart]]:
        """The text that may be shown now, and what is new of calls. Nothing is held back of the last."""
        self._buffer += text
        while self._buffer and self._step():
            pass
        if is_last:
            self._show_rest()
        shown, parts = "".join(self._shown), self._parts
        self._shown, self._parts = [], []
        return shown, parts

    def _show_rest(self) -> None:
        """What has begun no call is text. A call that was cut off in its arguments stays as it is."""
        if self._step == self._find_call:
            self._show(self._buffer)
        elif self._step == self._read_head:
            self._show(BEGIN + self._buffer)
        self._buffer = ""

    def _show(self, text: str) -> None:
        self._shown.append(text)

    # Each does what it can with the buffer; False when it needs more.

    def _find_call(self) -> bool:
        if self.num_calls:
            self._buffer = self._buffer.lstrip()
        place = self._buffer.find(BEGIN)
        if place < 0:
            num_sure = len(self._buffer) - _num_held(self._buffer)
            self._show(self._buffer[:num_sure])
            self._buffer = self._buffer[num_sure:]
            return False
        self._show(self._buffer[:place].rstrip())
        self._buffer = self._buffer[place + len(BEGIN) :]
        self._step = self._read_head
        return True

    def _read_head(self) -> bool:
        if head := HEAD.match(self._buffer):
            self._begin_call(msgspec.json.decode(head[1], type=str))
            self._buffer = self._buffer[head.end() :]
            self._value, self._step = JsonValue(), self._read_arguments
            return True
        body, end, rest = self._buffer.partition(END)
        if end:
            self._tell_whole(body)
            self._buffer, self._step = rest, self._find_call
        return bool(end)

    def _read_arguments(self) -> bool:
        taken = self._value.take(self._buffer)
        if taken:
            self._parts.append(ToolCallPart(self.num_calls - 1, None, None, taken))
            self._buffer = self._buffer[len(taken) :]
        if self._value.is_over:
            self._step = self._find_end
        return self._value.is_over

    def _find_end(self) -> bool:
        _, end, rest = self._buffer.partition(END)
        if end:
            self._buffer, self._step = rest, self._find_call
        return bool(end)

    def _begin_call(self, name: str) -> None:
        self._parts.append(ToolCallPart(self.num_calls, f"call_{secrets.token_hex(12)}", name, ""))
        self.num_calls += 1

    def _tell_whole(self, body: str) -> None:
        """A call whose members stand in another order, or no call at all."""
        try:
            call = msgspec.json.decode(body.strip(), type=CallBody)
        except (msgspec.DecodeError, RecursionError):
            self._show(BEGIN + body + END)
            return
        self._begin_call(call.name)
        self._parts.append(ToolCallPart(self.num_calls - 1, None, None, bytes(call.arguments).decode()))


def _num_held(text: str) -> int:
    """Characters at the end that may yet belong to a call: the blanks before it, its beginning."""
    sizes = range(min(len(BEGIN) - 1, len(text)), 0, -1)
    num_begun = next((size for size in sizes if BEGIN.startswith(text[-size:])), 0)
    before = text[: len(text) - num_begun]
    return num_begun + len(before) - len(before.rstrip())
