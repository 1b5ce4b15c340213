"""A reply on its way from the engine's thread to the main thread: never more than fits in here.

When nobody takes from it, the engine waits and memory does not grow. Knows nothing of engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Condition, Event
from typing import Generic, TypeVar

from glmcli.errors import GlmError
from glmcli.types import Chunk

Item = Chunk | GlmError
_T = TypeVar("_T")

TICK_S = 0.05
MOST_ITEMS = 1024
MOST_CHARS = 65_536
"""A full delivery takes nothing more; one that is not full takes the next chunk, whatever its size.
Some seconds of the fastest reply, and a screen's worth a hundred times over."""


class Heard:
    """What somebody has heard of an engine, on any thread: a notice that is `once` comes once."""

    def __init__(self) -> None:
        self._notices: dict[str, object] = {}

    def is_new(self, item: object) -> bool:
        """Whether an item, by itself or with the index of its prompt, is to be heard."""
        chunk = chunk_of(item)
        if chunk is None or not chunk.once:
            return True
        mine = object()
        return self._notices.setdefault(chunk.notice, mine) is mine


class Delivery(Generic[_T]):
    """Items that were put and not taken yet. One thread puts, another one takes."""

    def __init__(self, cancel: Event, closing: Event, heard: Heard | None = None) -> None:
        """After `cancel` nobody waits to put: the items are taken at once, and not shown.

        After `closing` nobody takes any more for certain, so that a full delivery stays full.
        What was `heard` before is not taken again.
        """
        self._cancel = cancel
        self._closing = closing
        self._heard = heard
        self._items: list[_T] = []
        self._chars = 0
        self._is_over = False
        self._changed = Condition()

    @property
    def takes(self) -> bool:
        """Whether `put` would wait for nobody."""
        return not self._is_full() or self.is_left or self._closing.is_set()

    @property
    def is_left(self) -> bool:
        """Whether nobody wants more of it."""
        return self._is_over or self._cancel.is_set()

    def put(self, item: _T) -> bool:
        """Hand over the next item as soon as it fits; whether somebody may still take it."""
        with self._changed:
            while self._is_full() and not self.is_left:
                if self._closing.is_set():
                    return False
                self._changed.wait(TICK_S)
            return self._add(item)

    def put_last(self, item: _T) -> None:
        """Hand over the end of the reply; it always fits."""
        with self._changed:
            self._add(item)

    def take(self) -> Sequence[_T]:
        """All items, as soon as there are some; none after a tick without news."""
        with self._changed:
            if not self._items:
                self._changed.wait(TICK_S)
            items, self._items, self._chars = self._items, [], 0
            self._changed.notify()
        return items if self._heard is None else [*filter(self._heard.is_new, items)]

    def end(self) -> None:
        """Nobody takes anything any more: whoever waits to put is let go."""
        with self._changed:
            self._is_over = True
            self._items = []
            self._changed.notify()

    def _is_full(self) -> bool:
        return len(self._items) >= MOST_ITEMS or self._chars >= MOST_CHARS

    def _add(self, item: _T) -> bool:
        if self._is_over:
            return False
        self._items.append(item)
        self._chars += chars_in(item)
        self._changed.notify()
        return True


def chars_in(item: object) -> int:
    """How much text there is in an item, by itself or with the index of its prompt."""
    chunk = chunk_of(item)
    return 0 if chunk is None else len(chunk.text) + len(chunk.thinking)


def chunk_of(item: object) -> Chunk | None:
    """The chunk of an item, by itself or with the index of its prompt; None for an error."""
    chunk = item[1] if isinstance(item, tuple) else item
    return chunk if isinstance(chunk, Chunk) else None


def joined(items: Sequence[Item]) -> list[Item]:
    """The same reply in as few chunks as possible, since nobody wants to see it grow."""
    found: list[Item] = []
    texts: list[Chunk] = []
    for item in items:
        stands_alone = isinstance(item, Chunk) and (item.notice or item.was_thinking)
        if isinstance(item, Chunk) and item.finish_reason is None and not stands_alone:
            texts.append(item)
        else:
            found += [*_one(texts), item]
            texts = []
    return [*found, *_one(texts)]


def _one(chunks: Sequence[Chunk]) -> list[Item]:
    text, thinking = "".join(each.text for each in chunks), "".join(it.thinking for it in chunks)
    tokens = sum(each.tokens for each in chunks)
    return [Chunk(text, thinking, tokens)] if text or thinking or tokens else []
