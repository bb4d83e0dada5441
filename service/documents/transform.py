"""The algebra of edits: one after another, side by side, and back again (pure functions).

With a and b made on the same text and a', b' = transform(a, b): applying a then b' gives the same text
as b then a' (TP1 of Ressel et al., 1996). One server decides the order, so no more is needed.
"""

from collections.abc import Sequence

from service.documents.edits import Builder, Component, Edit, require_same


def compose(a: Edit, b: Edit) -> Edit:
    """The one edit that does what `a` and then `b` do. Raises ValueError when `b` is not for a's text."""
    require_same(a.new_length, b.length)
    built, first, second = Builder(), _Rest(a), _Rest(b)
    while first.head or second.head:
        if isinstance(first.head, int) and first.head < 0:
            built.delete(-first.head)
            first.drop()
        elif isinstance(second.head, str):
            built.insert(second.head)
            second.drop()
        else:
            _pass_on(built, *_pair(first, second))
    return built.build()


def compose_all(edits: Sequence[Edit]) -> Edit:
    """Compose one or more edits pair by pair: one by one takes quadratic time."""
    while len(edits) > 1:
        pairs = [edits[i : i + 2] for i in range(0, len(edits), 2)]
        edits = [compose(*pair) if len(pair) > 1 else pair[0] for pair in pairs]
    return edits[0]


def transform(a: Edit, b: Edit) -> tuple[Edit, Edit]:
    """a', which does after `b` what `a` wanted, and b', which does so after `a`.

    Where both insert at one place, the text of `a` stands first: the server's order is law, so let `a`
    be the edit that it accepted first. Raises ValueError when they were not made on one text.
    """
    require_same(a.length, b.length)
    new_a, new_b, first, second = Builder(), Builder(), _Rest(a), _Rest(b)
    while first.head or second.head:
        if isinstance(first.head, str):
            _insert(new_a, new_b, first)
        elif isinstance(second.head, str):
            _insert(new_b, new_a, second)
        else:
            _meet(new_a, new_b, *_pair(first, second))
    return new_a.build(), new_b.build()


def invert(edit: Edit, text: str) -> Edit:
    """What takes `edit` back, given the text that it was made on."""
    require_same(len(text), edit.length)
    built, position = Builder(), 0
    for component in edit.components:
        if isinstance(component, str):
            built.delete(len(component))
            continue
        if component > 0:
            built.retain(component)
        else:
            built.insert(text[position : position - component])
        position += abs(component)
    return built.build()


def transform_position(edit: Edit, position: int, *, is_own: bool = False) -> int:
    """Where a cursor stands after the edit.

    Text inserted right at the cursor leaves it where it is, unless it is the cursor's own author who
    types: a model that writes at its cursor goes on there, before what others have put after it.
    """
    new_position = position
    for component in edit.components:
        if position < 0 or (position == 0 and not is_own):
            break
        if isinstance(component, str):
            new_position += len(component)
        else:
            new_position -= min(position, max(-component, 0))
            position -= abs(component)
    return new_position


class _Rest:
    """The components that are still to come, taken in pieces as short as the other side wants."""

    def __init__(self, edit: Edit) -> None:
        self._rest = list(reversed(edit.components))
        self.head: Component | None = None
        self.drop()

    def drop(self) -> None:
        self.head = self._rest.pop() if self._rest else None

    def take(self, length: int) -> Component:
        head = self.head
        assert head is not None
        if _size(head) == length:
            self.drop()
            return head
        if isinstance(head, str):
            self.head = head[length:]
            return head[:length]
        sign = 1 if head > 0 else -1
        self.head = head - sign * length
        return sign * length


def _size(component: Component) -> int:
    return len(component) if isinstance(component, str) else abs(component)


def _pair(first: _Rest, second: _Rest) -> tuple[Component, Component]:
    """The next components of both, cut to one length."""
    assert first.head is not None and second.head is not None
    length = min(_size(first.head), _size(second.head))
    return first.take(length), second.take(length)


def _pass_on(built: Builder, before: Component, after: Component) -> None:
    """`before` kept or inserted some text that `after` keeps or deletes."""
    assert isinstance(after, int)
    if isinstance(before, str):
        if after > 0:
            built.insert(before)
    elif after > 0:
        built.retain(after)
    else:
        built.delete(-after)


def _insert(own: Builder, other: Builder, rest: _Rest) -> None:
    assert isinstance(rest.head, str)
    own.insert(rest.head)
    other.retain(len(rest.head))
    rest.drop()


def _meet(new_a: Builder, new_b: Builder, a: Component, b: Component) -> None:
    """Both keep or delete the same text; what both delete is gone for both."""
    assert isinstance(a, int) and isinstance(b, int)
    if a > 0 and b > 0:
        new_a.retain(a)
        new_b.retain(b)
    elif a < 0 < b:
        new_a.delete(b)
    elif b < 0 < a:
        new_b.delete(a)
