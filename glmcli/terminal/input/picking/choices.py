"""Which conversations a list shows, and which of them is chosen. Pure: no terminal, no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glmcli.terminal.input.picking import Entry
from glmcli.types import ConversationKind


class Choices:
    """The conversations that fit the words that were typed, and the place in them."""

    def __init__(self, entries: Sequence[Entry], kind: ConversationKind = "") -> None:
        """`kind` says which are shown at first: all, if it is "" or there is none of it."""
        self._entries = list(entries)
        self._kind = kind
        self._texts = {each.id: f"{each.title}\n{each.model}".casefold() for each in entries}
        self._found: dict[str, str] = {}
        self.shows_all = not any(map(self._is_of_kind, entries))
        self.filter = ""
        self.at = 0
        self.shown: Sequence[Entry] = []
        self._choose()

    @property
    def current(self) -> Entry | None:
        """The one that is chosen."""
        return self.shown[self.at] if self.shown else None

    @property
    def total(self) -> int:
        """How many there are without the filter."""
        return sum(self.shows_all or self._is_of_kind(each) for each in self._entries)

    @property
    def has_others(self) -> bool:
        """Whether `toggle` shows more or less: there are some of another kind."""
        kinds = {*map(self._is_of_kind, self._entries)}
        return len(kinds) > 1 or (False in kinds and not self.shows_all)

    def narrow(self, words: str) -> None:
        """Show those that fit other words, and choose the first."""
        self.filter, self._found, self.at = words, {}, 0
        self._choose()

    def add_found(self, found: Mapping[str, str]) -> None:
        """Show those, too, whose texts hold the words: their ids, and a line around the words."""
        kept = self.current
        self._found = dict(found)
        self._choose(kept)

    def line_around(self, name: str) -> str:
        """The words where a search found them, if it did."""
        return self._found.get(name, "")

    def toggle(self) -> None:
        """Show all kinds, or one again; what is chosen stays so if it can."""
        kept = self.current
        self.shows_all = not self.shows_all or not any(map(self._is_of_kind, self._entries))
        self._choose(kept)

    def move(self, by: int) -> None:
        """Choose another, so many further down; not beyond the ends."""
        self.at = min(max(self.at + by, 0), max(len(self.shown) - 1, 0))

    def remove(self, name: str) -> None:
        """Forget one that was deleted; the next one is chosen."""
        self._entries = [each for each in self._entries if each.id != name]
        self._choose()

    def _choose(self, kept: Entry | None = None) -> None:
        words = self.filter.casefold().split()
        listed = [e for e in self._entries if self.shows_all or self._is_of_kind(e)]
        fits = [each for each in listed if self._fits(each, words)]
        known = {each.id for each in fits}
        by_id = {each.id: each for each in listed}
        fits += [by_id[name] for name in self._found if name in by_id and name not in known]
        self.shown = fits
        self.at = fits.index(kept) if kept in fits else self.at
        self.move(0)

    def _fits(self, entry: Entry, words: Sequence[str]) -> bool:
        """Whether all words stand in the title or the model, or begin the id."""
        text = self._texts[entry.id]
        return all(word in text or entry.id.startswith(word) for word in words)

    def _is_of_kind(self, entry: Entry) -> bool:
        return not self._kind or entry.kind in ("", self._kind)
