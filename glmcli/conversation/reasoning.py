"""Reasoning that stands inside the text of a reply: how families mark it, how it is split off.

Whatever reads a conversation splits here, so that a model's template finds text and reasoning
apart and decides itself what of it is sent again. Knows nothing of files or models.
"""

from __future__ import annotations

import re
from dataclasses import replace

from glmcli.types import Message

REASONING = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
)
"""How model families mark their reasoning; the first is also assumed where no template says."""

_INLINE = re.compile(
    "|".join(
        rf"\s*{re.escape(begin)}(.*?){re.escape(end)}"
        # A template may have begun it: then the text has the end alone, at an end of a line.
        rf"|((?:(?!{re.escape(begin)}).)*?)(?:(?<![^\n]){re.escape(end)}|{re.escape(end)}\s*?\n)"
        for begin, end in REASONING
    ),
    re.DOTALL,
)


def split_reasoning(message: Message) -> Message:
    """`message` with the reasoning that its text begins with apart, if it is a reply that has any.

    Marks that are merely mentioned stay: an opening one without its end, a closing one in the
    middle of a line.
    """
    if message.role != "assistant" or message.thinking or message.name:
        return message
    if not any(end in message.text for _, end in REASONING):
        return message
    found = _INLINE.match(message.text)
    if found is None:
        return message
    thinking = next(part for part in found.groups() if part is not None)
    return replace(message, text=message.text[found.end() :].lstrip(), thinking=thinking.strip())
