"""A question and the long text that it is about, how a model is asked for it in parts, and what is
said where no part fits.

What all prompts for parts share stands first, so that an engine reads it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from glmcli.cli.asking.behind import ANSWER_SHARE
from glmcli.conversation.window import REPLY_SHARE, way_with_text
from glmcli.errors import ContextFull, GlmError
from glmcli.language import tr
from glmcli.types import Message, Totals

PART = "Be brief. Part {number} of {count} of the text:"
NOTES = "Notes on the text, part by part:"
MARGIN = 64
"""The window divided by this is left free: a count may miss what a template adds to think."""
LEAST_ANSWER, LABEL_TOKENS = 16, 16
"""Tokens that an answer to a part needs, and more than its number takes."""
ANSWERS = 2 * (LEAST_ANSWER + LABEL_TOKENS)
"""Tokens of the fewest answers that can be combined."""
BEGINNING = 80
"""Characters of a text that stand for it."""


@dataclass(slots=True)
class Made:
    """How an answer was made."""

    parts: int = 0
    levels: int = 0
    """1 for the answers to parts, and one for each time that answers were combined."""
    totals: Totals = field(default_factory=Totals)
    """What all of it cost, the last answer too."""
    number: int = 0
    """The part that is being answered; 0 before the first one."""
    answered: int = 0
    """Parts that have a whole answer."""
    is_combining: bool = False

    def fields(self) -> dict[str, Any]:
        """What machines are told."""
        return {
            "parts": self.parts,
            "answered": self.answered,
            "levels": self.levels,
            "prompt_tokens": self.totals.prompt_tokens,
            "cached_tokens": self.totals.cached_tokens,
            "completion_tokens": self.totals.completion_tokens,
        }


@dataclass(frozen=True, slots=True)
class LongText:
    """A question, and the text that it is about: piped, or files under their headers."""

    question: str
    """As it was typed; "" if the system prompt or a role says what to do."""
    text: str
    framed: Callable[[str], str] = str
    """Puts the words of a role around what the user says."""
    headers: Sequence[str] = ()
    """Those of the files in it."""

    def prompt(self, *pieces: str) -> Message:
        """The question, then what is to be said to it."""
        return Message("user", self.framed("\n\n".join(filter(None, [self.question, *pieces]))))

    def part(self, number: int, count: int, text: str) -> Message:
        """The question about one part."""
        return self.prompt(PART.format(number=number, count=count), text)

    def combined(self, answers: Sequence[str]) -> Message:
        """The question about answers to it; again at the end, where small models heed it."""
        return self.prompt(NOTES, *answers, self.question)

    def kept(self) -> str:
        """What the history keeps of it: the question, with the headers of the files.

        Without a question it is the beginning of the text, in the words of the role.
        """
        if not self.question:
            return self.framed(self.text[:BEGINNING].rstrip() + "…")
        return "\n\n".join([self.question, *self.headers])


@dataclass(frozen=True, slots=True)
class Room:
    """The window, the one that an engine named on the way, and how long the reply is to be."""

    window: int
    held: int | None = None
    reply: int | None = None


def tell_where_it_is(full: ContextFull, question: str | Message) -> None:
    """Let the hint say why --long does nothing, if what fills the window is in the argument."""
    if isinstance(question, str) and full.hint == way_with_text(once=True, is_set=full.is_set):
        full.hint = tr(
            "the text is in the argument: --long map answers one from stdin or -a FILE in parts"
        )


def no_room_for_parts(
    long: LongText,
    before: Sequence[Message],
    size: Callable[[Sequence[Message]], int],
    room: Room,
) -> GlmError:
    """The error where no two answers fit beside the question: its hint says what would help.

    `before` is what each prompt begins with; `size` counts the tokens of a prompt.
    """
    all_of_it = size([*before, long.combined(())])
    line = tr("beside the question there is no room for answers to parts of the text")
    if room.held is not None and room.held < room.window:
        line = tr(
            "the model's window has become smaller on the way: it holds {n:,} tokens", n=room.held
        )
        hint = tr("--window {n} cuts the text for that", n=room.held)
        if room.held < least_window(all_of_it):
            hint = larger_window(all_of_it)
    else:
        hint = parts_hint(long, before, size, room)
    error = GlmError(line, hint)
    error.exit_code = ContextFull.exit_code
    return error


def parts_hint(
    long: LongText,
    before: Sequence[Message],
    size: Callable[[Sequence[Message]], int],
    room: Room,
) -> str:
    """What to shorten, or that the window is too small for what cannot be shortened."""
    most = room.window - room.window // MARGIN - ANSWERS + LEAST_ANSWER
    if any(each.role != "system" for each in before):
        return tr("ask without the turns before it: leave out -c, --resume and --messages")
    if before and size([*before, Message("user", "")]) > most:
        return tr("the system prompt alone fills the window: give a shorter one")
    all_of_it, frame = size([*before, long.combined(())]), size([Message("user", NOTES)])
    if REPLY_SHARE * (all_of_it - frame) >= room.window:
        shorter = tr("shorten the question or the system prompt")
        shorter = shorter if before else tr("shorten the question")
        if all_of_it > most or not room.reply:
            return shorter
        return tr("{shorter}, or set --max-tokens to less", shorter=shorter)
    if (room.reply or 0) > room.window // REPLY_SHARE and room.window >= least_window(all_of_it):
        return tr("set --max-tokens to less, or leave it out")
    return larger_window(all_of_it)


def least_window(size: int) -> int:
    """The smallest window in which answers fit beside a question of this size."""
    share = 1 - 1 / MARGIN - 1 / REPLY_SHARE
    return max(ceil((size + ANSWERS) / share), ANSWER_SHARE * LEAST_ANSWER)


def larger_window(size: int) -> str:
    """The hint where nothing but the window is too small."""
    return tr(
        "the window is too small for that: take a model with {n:,} tokens or more, or set --window"
        " to that",
        n=least_window(size),
    )
