"""What is written for each line: an answer or an error, one JSON object a line, each at once.

Knows nothing of how answers are made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from glmcli.cli.asking.each.tasks import Id
from glmcli.errors import ContextFull, GlmError, UsageError, told_error
from glmcli.terminal.output import Output
from glmcli.terminal.replies.json import reply_fields, write_json
from glmcli.types import Message, Totals


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What became of one line: a reply, an error, or both where the reply broke off."""

    id: Id
    line: int
    reply: Message | None = None
    error: GlmError | None = None
    asked: str = ""
    """What tells its question from all others."""

    @property
    def tokens(self) -> int:
        """Of the reply, as far as they are known."""
        usage = self.reply.usage if self.reply else None
        return (usage.completion_tokens if usage else None) or 0

    def fields(self) -> dict[str, Any]:
        """What is written of it."""
        fields: dict[str, Any] = {"id": self.id}
        if self.reply is not None:
            said = reply_fields(self.reply)
            thinking = {"thinking": said["thinking"]} if said["thinking"] else {}
            reason = said["finish_reason"]
            fields |= {"text": said["text"], **thinking, "usage": said["usage"]}
            fields["finish_reason"] = reason
        if self.error is not None:
            fields["line"] = self.line
            message, hint = told_error(self.error)
            fields["error"] = {"message": message, "hint": hint, "code": self.error.exit_code}
        if self.asked:
            fields["asked"] = self.asked
        return fields


class Results:
    """Writes answers, in the order of their lines unless that does not matter."""

    def __init__(self, out: Output, *, in_order: bool, before: Callable[[], None]) -> None:
        """`before` is called before each line that is written."""
        self._out, self._in_order, self._before = out, in_order, before
        self._held: dict[int, LineAnswer | None] = {}
        self._next = 0
        self.answered = 0
        """Lines that were."""
        self.failed = 0
        """Lines that have an error."""
        self.bad = 0
        """Those among them that are wrong as they stand: to ask them again helps nothing."""
        self.lost = 0
        """Lines that were being answered when all was stopped: what came of them is not written."""
        self.totals = Totals()
        self.written_at = -math.inf
        """When a line was written last, by the monotonic clock."""

    def put(self, place: int, answer: LineAnswer | None) -> None:
        """Write what became of the line of this place, from 0, as soon as it is its turn.

        None says that there is nothing to write of it.
        """
        if not self._in_order:
            self._write(answer)
            return
        self._held[place] = answer
        while self._next in self._held:
            self._write(self._held.pop(self._next))
            self._next += 1

    def release(self) -> None:
        """Write what waits for lines that get no answer any more."""
        while self._held:
            self._write(self._held.pop(min(self._held)))

    def _write(self, answer: LineAnswer | None) -> None:
        if answer is None:
            return
        self._before()
        self.answered += answer.error is None  # first, since a signal may end the write
        self.failed += answer.error is not None
        self.bad += isinstance(answer.error, UsageError | ContextFull)
        write_json(self._out, answer.fields())
        self.written_at = time.monotonic()
        if answer.reply is not None and answer.reply.usage is not None:
            self.totals.add(answer.reply.usage)
