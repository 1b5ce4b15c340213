"""Stop strings that a checkpoint states, found where transformers' `generate` finds them.

It looks at what the tokens are called, byte for byte: special tokens have a name though they show
nothing, thinking counts as well as text, and a stop string may begin in the prompt. Knows nothing
of what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from glmcli.conversation.reasoning import held_back


class Released(NamedTuple):
    """The tokens that are certain now."""

    tokens: Sequence[int] = ()
    cut: int = 0
    """So many bytes at the end of the last one belong to the stop string."""


class TokenStops:
    """Ends a reply at the token that completes one of `stops`.

    `spell` gives what a token is called, in bytes; `before` are the ids of the prompt.
    """

    def __init__(
        self,
        stops: Sequence[str],
        spell: Callable[[int], bytes] = lambda token: b"",
        before: Sequence[int] = (),
    ) -> None:
        self._stops = [latin(stop.encode("utf-8", "surrogatepass")) for stop in stops if stop]
        self._spell = spell
        self._longest = max(map(len, self._stops), default=0)
        near = before[-self._longest :] if self._longest else ()
        self._before = self._last("".join(latin(spell(token)) for token in near))
        """The names of the tokens that were released, as far as a stop string may reach."""
        self._held: list[tuple[int, str]] = []
        self.hit = False

    def push(self, token: int) -> Released:
        """The tokens that are certain now."""
        if not self._stops:
            return Released((token,))
        name = latin(self._spell(token))
        self._held.append((token, name))
        text = self._before + "".join(name for _, name in self._held)
        old = len(text) - len(name)  # what ends there was looked at before
        starts = [(text.find(stop, max(0, old - len(stop) + 1)), stop) for stop in self._stops]
        ends = [(at + len(stop), -len(stop)) for at, stop in starts if at >= 0]
        if not ends:
            return self._release(len(text) - held_back(text, self._stops))
        self.hit = True
        end, size = min(ends)
        return self._release(end + size)

    def flush(self) -> Sequence[int]:
        """The tokens that were held back and are no stop string after all."""
        held, self._held = self._held, []
        return [] if self.hit else [token for token, _ in held]

    def _release(self, until: int) -> Released:
        """The tokens before a place in the text; at the end, also one that reaches beyond it."""
        at, tokens = len(self._before), []
        while self._held and at + len(self._held[0][1]) <= until:
            token, name = self._held.pop(0)
            self._before += name
            at += len(name)
            tokens.append(token)
        self._before = self._last(self._before)
        if self.hit and self._held and at < until:
            token, name = self._held[0]
            return Released([*tokens, token], at + len(name) - until)
        return Released(tokens)

    def _last(self, text: str) -> str:
        return text[-self._longest :] if self._longest else ""


def latin(data: bytes) -> str:
    """Bytes as text, a letter each."""
    return data.decode("latin-1")
