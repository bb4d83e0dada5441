"""One change of a whole text, in the one form that everything here computes with.

An edit is the list of what happens from the text's first code point to its last: n > 0 keeps n code
points, n < 0 deletes -n, a string is inserted. No two neighbours are of one kind, and where text is
replaced the insertion stands before the deletion, so that equal changes are equal lists.
The form and its algebra are those of Google Wave and ot.js.
"""

import msgspec

Component = int | str


class Edit(msgspec.Struct, frozen=True, gc=False):
    """A change from a text of `length` code points to one of `new_length`. Made by `Builder` only."""

    components: tuple[Component, ...]
    length: int
    new_length: int

    @property
    def is_nothing(self) -> bool:
        return self.components in ((), (self.length,))

    @property
    def num_inserted(self) -> int:
        """Code points of text that the edit itself holds."""
        return sum(len(component) for component in self.components if isinstance(component, str))

    def apply(self, text: str) -> str:
        """The text after the edit. Raises ValueError for a text of another length."""
        require_same(len(text), self.length)
        pieces, position = [], 0
        for component in self.components:
            if isinstance(component, str):
                pieces.append(component)
                continue
            if component > 0:
                pieces.append(text[position : position + component])
            position += abs(component)
        return "".join(pieces)


class Builder:
    """Makes an edit from left to right; joins neighbours and puts insertions before deletions."""

    def __init__(self) -> None:
        self._components: list[Component] = []
        self._length = 0
        self._new_length = 0

    def retain(self, length: int) -> None:
        self._length += length
        self._new_length += length
        self._count(length)

    def delete(self, length: int) -> None:
        self._length += length
        self._count(-length)

    def insert(self, text: str) -> None:
        if not text:
            return
        self._new_length += len(text)
        components = self._components
        end = len(components)
        if end and _is_deletion(components[-1]):
            end -= 1
        before = components[end - 1] if end else 0
        if isinstance(before, str):
            components[end - 1] = before + text
        else:
            components.insert(end, text)

    def build(self) -> Edit:
        return Edit(tuple(self._components), self._length, self._new_length)

    def _count(self, count: int) -> None:
        last = self._components[-1] if self._components else ""
        if isinstance(last, int) and (last < 0) == (count < 0):
            self._components[-1] = last + count
        elif count:
            self._components.append(count)


def replacement(length: int, position: int, num_deleted: int, text: str) -> Edit:
    """Of a text of `length`: what stands at `position` goes, `text` comes in its place."""
    built = Builder()
    built.retain(position)
    built.insert(text)
    built.delete(num_deleted)
    built.retain(length - position - num_deleted)
    return built.build()


def nothing(length: int) -> Edit:
    return replacement(length, 0, 0, "")


def require_same(length: int, expected: int) -> None:
    """A caller's mistake, never a client's: an edit met a text that it was not made for."""
    if length != expected:
        raise ValueError(f"a text of {length} code points, an edit for {expected}")


def _is_deletion(component: Component) -> bool:
    return isinstance(component, int) and component < 0
