"""What to do when a conversation outgrows the model's window. Knows nothing of engines or views.

What is stored stays whole; only what is sent gets shorter, by whole turns, the oldest first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Literal

from glmcli.conversation.attachments import headings_only
from glmcli.language import ntr, tr
from glmcli.types import Conversation, Message, Omission

Count = Callable[[Sequence[Message]], int | None]
"""The exact size of a prompt in tokens, or None if it cannot be known."""
Write = Callable[[Sequence[Message], int], str]
"""What the model replies to a prompt within a number of tokens; "" if it failed or was stopped."""

Filler = Literal["", "system", "turns", "question"]
"""What fills a window."""

REPLY_SHARE = 4
"""When turns are left out, the window divided by this is kept free for the reply."""
LEAST_ROOM = 16
"""A prompt that leaves less of the window free than it divided by this is too long."""
SUMMARY_SHARE = 8
"""A summary may take the window divided by this."""
KEPT_SHARE = 2
"""After summarising, the summary and later turns take the window divided by this."""
REQUEST = """\
Summarise our conversation so far, in the language that it is in. The summary will stand in its \
place: keep names, numbers, code, what was decided, and what is still open. Write the summary and \
nothing else."""
TEMPLATE_TOKENS = 64
"""More than a template puts around one message."""


def wider_line(window: int | None, stated: int | None) -> str:
    """What to say where a window was set that is larger than the model's; or nothing."""
    if window is None or stated is None or window <= stated:
        return ""
    return tr(
        "the model's window is {stated:,} tokens, but --window {window:,} counts: what is beyond"
        " may be refused, cut or answered badly",
        stated=stated,
        window=window,
    )


def is_full(needed: int | None, window: int | None) -> bool:
    """Whether a prompt of `needed` tokens leaves too little room for a reply, if that is known."""
    return needed is not None and window is not None and needed > window - window // LEAST_ROOM


def at_most(prompt: Sequence[Message], reply: Message | None, size: int | None) -> int | None:
    """What a prompt takes at most, if it takes `size` up to an earlier reply; None if unknown.

    A token is a byte at least, in front of which the template may put some.
    """
    new = list(takewhile(lambda each: each is not reply, reversed(prompt)))
    if size is None or len(new) == len(prompt):
        return None
    texts = (f"{each.thinking}{each.text}".encode() for each in new)
    return size + sum(len(text) + TEMPLATE_TOKENS for text in texts)


def without_oldest(
    conversation: Conversation, count: Count, window: int, *, after: Sequence[Message] = ()
) -> Omission | None:
    """Which turns to leave out, so that a reply has room; None if no more can go.

    The system prompt and the last question stay. `after` is sent after the conversation. Without
    exact counts one turn more is left out than before.
    """

    def needed(start: int) -> int | None:
        return count((*replace(conversation, omitted=Omission(start)).prompt(), *after))

    starts = questions(conversation, conversation.omitted)
    start = earliest(starts, needed, window - window // REPLY_SHARE, or_else=window - 1)
    return None if start is None else Omission(start)


def summarise(
    conversation: Conversation,
    count: Count,
    window: int,
    write: Write,
    *,
    after: Sequence[Message] = (),
) -> Omission | None:
    """The oldest turns as a summary that `write` makes of them; None if that cannot be done.

    A summary that is there already becomes part of the new one. What the model cannot read at
    once it summarises step by step. Without exact counts half of the turns are summarised.
    """
    room = max(1, window // SUMMARY_SHARE)

    def needed(start: int) -> int | None:
        sent = replace(conversation, omitted=Omission(start, "…")).prompt()
        size = count((*sent, *after))
        return None if size is None else size + room

    starts = questions(conversation, conversation.omitted)
    if starts and needed(starts[0]) is None:
        starts = starts[len(starts) // 2 :]
    most = window - window // LEAST_ROOM
    target = earliest(starts, needed, window // KEPT_SHARE, or_else=most)
    made = conversation.omitted or Omission(0)
    made = made if made.summary else Omission(0)
    while target is not None and made.messages < target:
        part = readable_part(conversation, made, target, count, window - room)
        if part is None:
            return None
        text = write(part.prompt(Message("user", REQUEST)), room).strip()
        if not text:
            return None
        made = Omission(len(part.messages), text)
    return None if target is None else made


def readable_part(
    conversation: Conversation, made: Omission, target: int, count: Count, limit: int
) -> Conversation | None:
    """The longest part of the first `target` messages of which the model can read all at once.

    `made` stands for its beginning. None if not even one more turn fits `limit`.
    """

    def part(end: int) -> Conversation:
        return replace(conversation, messages=conversation.messages[:end], omitted=made)

    def is_too_long(end: int) -> bool:
        size = count(part(end).prompt(Message("user", REQUEST)))
        return size is not None and size > limit

    ends = [end for end in questions(conversation, made) if end <= target]
    fitting = bisect_left(ends, True, key=is_too_long)
    return part(ends[fitting - 1]) if fitting else None


def turns_left_out(conversation: Conversation) -> int:
    """How many of the oldest turns are not sent as they are."""
    first = conversation.omitted.messages if conversation.omitted else 0
    return sum(message.role == "user" for message in conversation.messages[:first])


def omission_notice(conversation: Conversation, size: int | None, *, commands: bool = False) -> str:
    """What the user is told when turns were left out; `size` is that of their summary, if known.

    `commands`: whether /commands run where it is said.
    """
    said = omitted_turns(conversation, size)
    shows = commands and conversation.omitted is not None and conversation.omitted.summary
    return tr("; ").join([said, tr("/summary shows it")]) if shows else said


def omitted_turns(conversation: Conversation, size: int | None) -> str:
    """Which turns were not sent, or how."""
    turns = turns_left_out(conversation)
    if conversation.omitted is None or not conversation.omitted.summary:
        return ntr(
            "the window is full: the oldest turn was not sent",
            "the window is full: the oldest {n} turns were not sent",
            turns,
        )
    if size is None:
        return ntr(
            "the window is full: the oldest turn was sent as a summary",
            "the window is full: the oldest {n} turns were sent as a summary",
            turns,
        )
    return ntr(
        "the window is full: the oldest turn was sent as a summary of {size:,} tokens",
        "the window is full: the oldest {n} turns were sent as a summary of {size:,} tokens",
        turns,
        size=size,
    )


def filled_by(conversation: Conversation, count: Count, limit: int | None) -> Filler:
    """What alone fills a window of `limit` tokens; "" if that is not known.

    The last message is the question.
    """
    last = conversation.last_question()
    if limit is None or last is None:
        return ""
    alone = Conversation(system=conversation.system, messages=[Message("user", "")])
    if (size := count(alone.prompt())) is None:
        return ""
    if size >= limit:
        return "system" if conversation.system else ""
    size = count((*alone.prompt()[:-1], conversation.messages[last]))
    if size is not None and size < limit:
        return "turns" if last else ""
    return "" if size is None else "question"


def way_out(
    conversation: Conversation,
    context: str,
    filler: Filler,
    *,
    commands: bool,
    once: bool = False,
    is_set: bool = False,
) -> str:
    """What helps when a prompt does not fit: where /commands run, or only options can be given.

    `once`: it is the only question; `is_set`: the window is as --window says.
    """
    is_choice = context == "stop" and bool(questions(conversation, None))
    if filler == "system" and commands:
        return tr("the system prompt alone fills the window: /system TEXT sets a shorter one")
    if filler == "system":
        return tr("the system prompt alone fills the window: give a shorter one")
    if is_choice and filler != "question":
        return left_out_by(filler, commands=commands)
    last = conversation.last_question()
    asked = "" if last is None else conversation.messages[last].text
    return way_with_text(once=once, is_set=is_set, has_files=headings_only(asked) != asked)


def way_with_text(*, once: bool = False, is_set: bool, has_files: bool = True) -> str:
    """What helps with a text that is too long: one in files, or one that was typed or pasted."""
    if once:
        way = tr("--long map answers a text from stdin or -a FILE in parts")
    elif has_files:
        way = tr('glm ask --long map "QUESTION" -a FILE answers a long text in parts')
    else:
        way = tr(
            "shorten it, or save the text in it as a file:"
            ' glm ask --long map "QUESTION" -a FILE answers that in parts'
        )
    wider = tr("or set --window to more") if is_set else tr("or use a model with a larger window")
    return tr("; ").join([way, wider])


def left_out_by(filler: Filler, *, commands: bool) -> str:
    """How the oldest turns can be left out."""
    if commands:
        way = tr(
            "/set context drop-oldest leaves the oldest turns out, /reset starts a new conversation"
        )
    else:
        way = tr(
            "--context drop-oldest leaves the oldest turns out, --context summarise condenses them"
        )
    said = tr("the turns before this question fill the window") if filler == "turns" else ""
    return tr(": ").join(filter(None, [said, way]))


def questions(conversation: Conversation, omitted: Omission | None) -> list[int]:
    """Where turns begin, of the messages after the first one that is sent."""
    first = omitted.messages if omitted else 0
    messages = enumerate(conversation.messages)
    return [at for at, message in messages if at > first and message.role == "user"]


def earliest(
    starts: Sequence[int], needed: Callable[[int], int | None], limit: int, *, or_else: int
) -> int | None:
    """The first of `starts` that needs `limit` at most, or the last if that needs `or_else`.

    Later starts need less. A start whose need is unknown is taken.
    """

    def fits(start: int) -> bool:
        size = needed(start)
        return size is None or size <= limit

    at = bisect_left(starts, True, key=fits)
    if at < len(starts):
        return starts[at]
    return starts[-1] if starts and (needed(starts[-1]) or 0) <= or_else else None
