"""Prompts before they are read: those far beyond the window, and those that are still typed.

Knows nothing of nets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from glmcli.engines.local.prompt.decoder import PromptIds, PromptTemplate
from glmcli.engines.local.prompt.open import SANE_WINDOW
from glmcli.errors import ContextFull
from glmcli.types import Message

FAR_LETTERS = 8
"""A text with more letters than this for each token of the window hardly fits."""
SLICE_LETTERS = 65_536


def limit_of(window: int | None) -> int:
    """The tokens of a prompt and its reply at most."""
    return window or SANE_WINDOW


def room_after(prompt: PromptIds, window: int | None) -> int:
    """Tokens left for the reply. Raises ContextFull if there are none."""
    limit = limit_of(window)
    if len(prompt.ids) >= limit:
        raise ContextFull(len(prompt.ids), limit)
    return limit - len(prompt.ids)


def check_length(messages: Sequence[Message], template: PromptTemplate, window: int | None) -> None:
    """Raise ContextFull for texts far beyond the window after a look at their beginning.

    To encode 50 MB takes minutes and gigabytes; the number of tokens is an estimate then.
    """
    limit = limit_of(window)
    letters = sum(len(item.text) for item in messages)
    if letters <= FAR_LETTERS * limit:
        return
    around = len(template.encode([Message("user", "")]).ids)
    tokens = seen = 0
    for item in messages:
        for start in range(0, len(item.text), SLICE_LETTERS):
            part = item.text[start : start + SLICE_LETTERS]
            tokens += len(template.encode([Message("user", part)]).ids) - around
            seen += len(part)
            if tokens > 2 * limit:
                raise ContextFull(round(tokens * letters / seen), limit)


def probes(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Two prompts that go on from `messages`, or from the draft at their end, in different ways."""
    is_draft = bool(messages) and messages[-1].role == "user"
    draft = messages[-1] if is_draft else Message("user", "")
    before = messages[:-1] if is_draft else messages
    for letter in ("a", "1"):
        yield [*before, replace(draft, text=draft.text + letter)]
