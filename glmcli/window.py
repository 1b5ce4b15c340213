"""What to do when a conversation outgrows the model's window. Knows nothing of engines or views.

What is stored stays whole; only what is sent gets shorter, by whole turns, the oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glmcli.types import Message

Count = Callable[[Sequence[Message]], int | None]

REPLY_SHARE = 4
"""When turns are left out, one part in so many of the window is kept free for the reply."""
LEAST_ROOM = 16
"""A prompt that leaves less than one part in so many of the window free counts as too long."""


def is_full(needed: int | None, window: int | None) -> bool:
    """Whether a prompt of `needed` tokens leaves too little room for a reply, if that is known."""
    return needed is not None and window is not None and needed > window - window // LEAST_ROOM


def shortened(prompt: Sequence[Message], count: Count, window: int) -> tuple[Message, ...] | None:
    """`prompt` without its oldest turns, so that a reply has room; None if nothing can go.

    The system prompt and the last question stay. Without exact counts one turn goes at a time.
    """
    head = [item for item in prompt[:1] if item.role == "system"]
    body = list(prompt[len(head) :])
    starts = [at for at, item in enumerate(body) if item.role == "user"][1:]
    limit = window - window // REPLY_SHARE
    for start in starts:
        shorter = (*head, *body[start:])
        needed = count(shorter)
        if needed is None or needed <= limit or (start == starts[-1] and needed < window):
            return shorter
    return None


def left_out(prompt: Sequence[Message], sent: Sequence[Message]) -> int:
    """How many turns of `prompt` were not sent."""
    return sum(item.role == "user" for item in prompt) - sum(item.role == "user" for item in sent)
