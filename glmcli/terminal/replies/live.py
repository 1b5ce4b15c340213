"""A reply on a terminal, as it grows: Markdown above, one row below that says what happens.

Joins the Markdown stream and the painter with the clock. Knows nothing of engines or sessions.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from copy import copy

from rich.cells import cell_len

from glmcli.language import tr
from glmcli.terminal import theme
from glmcli.terminal.asked import asked_rows
from glmcli.terminal.markdown.stream import MarkdownStream, Row, warm_up
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import TimeLeft, progress_forms, queue_rows, status_row, token_phrase
from glmcli.terminal.quiet import SETTLE_S, Queued, Quiet
from glmcli.terminal.replies.painter import GAP, Painter, said
from glmcli.terminal.replies.place import REPORT_S, CursorPlace
from glmcli.terminal.replies.text import BaseView
from glmcli.terminal.visible import visible_line
from glmcli.types import Chunk, Message, Progress

FRAME_S = 1 / 12
STATUS_S = 0.4
"""The status row is written no more often than this."""
SETTLING_S = 0.02
"""Between two looks whether a window has settled, where nothing else is to be done."""
COST_SHARE = 6
"""A frame waits this many times as long as the last one took."""
QUEUE_COLUMNS = 60
"""Of queued lines: wider rows wrap when a window narrows, and push a reply's first ones away."""
QUEUE_SHARE = 4
"""What waits takes this part of the window at most."""
MOST_UNPAINTED = 16_384
"""Characters. When this many wait, the next frame comes at once."""
TAIL_CHARS = 200
"""How much of the reasoning is looked at for its last words."""


class LiveView(BaseView):
    """Shows one reply. What scrolled away is never painted again.

    A window that changes its width has the question and the reply laid out again, as far as they
    are in reach. tmux puts the first rows of a screen that is not full out of reach before anybody
    hears of the new width: they stay there as it cut them, and what they say is left out below.

    `after` is the text that the reply goes on with, if that was shown before: a fence, a list or a
    table that is open in it stays one. Its last row is shown again, if it was not complete; a table
    from its start, if what comes next changes its layout. Prose has `columns` at most; 0: those of
    the window.
    """

    def __init__(
        self,
        out: Output,
        quiet: Quiet,
        *,
        thinking: str = "fold",
        columns: int = 0,
        after: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._clock = clock
        self._terminal = quiet
        self._quiet = quiet.painting()
        self._thinking = thinking
        self._columns = columns
        self._after = after
        self._size = self._seen_size = out.size()
        """The size that is painted for, and the one that the window had last."""
        self._changed_at = 0.0
        self._painter = self._new_painter()
        self._asked = out.asked
        """The question, as long as it stands right above and can be laid out again."""
        self._is_asked_again = False
        """Whether the question on the screen was painted here."""
        self._thought: list[Row] = []
        """Rows between the question and the reply."""
        self._painter.know(self._above(self._size.columns))
        self._place = CursorPlace(out.write)
        self._ready: list[Row] = []
        """Final rows that are not painted yet."""
        self._live = 0
        """Rows that were live in the last frame."""
        self._fed = len(after)
        """Characters of the reply that were taken in."""
        self._text: list[str] = []
        """What came of the reply itself."""
        self._unpainted = 0
        """Characters that came since the last frame."""
        self._stream: MarkdownStream | None = None
        """The text that grows: reasoning first, if it is shown, then the reply."""
        self._is_reply = False
        self._started = clock()
        self._next_frame = 0.0
        self._next_status = 0.0
        self._said = ""
        self._queued = Queued()
        self._is_warm = False
        self._progress: Progress | None = None
        self._left = TimeLeft()
        self._tokens = TokenCount()
        self._first_token_at: float | None = None
        self._thought_s = 0.0
        self._thought_tokens = TokenCount()
        self._has_said_thought = False
        self._tail = ""

    def show(self, chunk: Chunk) -> None:
        """Take in a chunk; paint if it is time to."""
        self._queued = self._terminal.collect()
        if self._terminal.wants_suspend:
            self._suspend()
        now = self._clock()
        self.take(chunk)
        is_settled = self._is_known(now)
        is_time = now >= self._next_frame or self._unpainted >= MOST_UNPAINTED
        if is_settled and is_time and not self._out.is_stopped():
            if now >= self._next_status:
                self._said, self._next_status = self._status(now), now + STATUS_S
            self._paint(self._said)
            cost = self._clock() - now
            self._next_frame = now + max(FRAME_S, COST_SHARE * cost)

    def take(self, chunk: Chunk) -> None:
        """Take in a chunk, and paint nothing: no status of what is there already."""
        self._progress = chunk.progress or self._progress
        if chunk.tokens or chunk.text or chunk.thinking:
            self._first_token_at = self._first_token_at or self._clock()
        self._tokens.add(chunk)
        if chunk.was_thinking:
            self._turn(chunk.thinking)
        elif chunk.thinking:
            self._think(chunk)
        if chunk.text:
            if not self._is_reply:
                self._next_status = 0.0
            self._reply().feed(said(chunk.text, self._out.encoding))
            self._fed += len(chunk.text)
            self._text.append(chunk.text)
        elif not self._is_warm:
            self._is_warm = True
            warm_up()  # there is time: the model is still loading or reading
        self._unpainted += len(chunk.text) + len(chunk.thinking)

    def finish(self, reply: Message) -> None:
        """Paint what is left, without the status row; after a stop no more than half a screen.

        A row with "…" stands for what had arrived and is not shown.
        """
        end = time.monotonic() + SETTLE_S + REPORT_S
        while not self._is_known(self._clock()) and time.monotonic() < end:
            time.sleep(SETTLING_S)
            self._queued = self._terminal.collect()
        self._finish(reply)

    def _finish(self, reply: Message) -> None:
        self._adapt()
        self._end_stream()
        if not self._is_reply:
            self._say_thought()
        is_cut = reply.finish_reason == "cancelled" and self._out.is_stopped()
        lines = self._size.lines
        if is_cut and len(self._ready) > min(self._live, lines) + lines // 2:
            self._painter.freeze()
        else:
            missing = [GAP] if is_cut and self._fed < len(reply.text) else []
            self._painter.paint([*self._ready, *missing])
        self._painter.finish()
        self._ready = []

    def abandon(self) -> None:
        """The same after a fault: what was shown stays."""
        self._finish(Message("assistant", ""))

    def _suspend(self) -> None:
        """Take the live rows off while the shell is there; the next frame shows them again."""
        self._adapt()
        self._painter.paint()
        if self._stream is not None:
            self._stream.leave()  # the shell writes below it
        self._terminal.suspend()
        self._next_frame = 0.0

    def _think(self, chunk: Chunk) -> None:
        self._thought_s = self._clock() - self._started
        self._thought_tokens.add(chunk)
        self._tail = (self._tail + chunk.thinking)[-TAIL_CHARS:]
        if self._thinking == "show":
            if self._stream is None or self._is_reply:  # some models think again in between
                self._end_stream(gap=self._is_reply)
                self._stream, self._is_reply = self._new_stream(dim=True), False
                self._has_said_thought = False
            self._stream.feed(said(chunk.thinking, self._out.encoding))

    def _turn(self, thinking: str) -> None:
        """All text so far was thinking, which `thinking` goes on with: it is shown as such."""
        self._adapt()
        self._painter.take_back()
        above = self._above(self._size.columns)
        self._ready = above if self._is_asked_again else []
        self._painter.know([] if self._is_asked_again else above)
        self._stream, self._is_reply, self._live = None, False, 0
        thought = "".join([*self._text, thinking]).strip()
        self._text, self._fed, self._after = [], 0, ""
        self._think(Chunk(thinking=thought))
        self._thought_tokens = copy(self._tokens)

    def _reply(self) -> MarkdownStream:
        """The stream of the reply itself; whatever came before it is ended."""
        if not self._is_reply or self._stream is None:
            self._end_stream()
            if self._say_thought():
                self._ready.append(())
                self._thought = [*self._ready]
            self._is_reply = True
            self._stream = self._new_stream()
            if self._after:
                self._begin_after(self._stream)
        return self._stream

    def _begin_after(self, stream: MarkdownStream) -> None:
        """Bring the stream to where the text before the reply ended."""
        text, self._after = said(self._after, self._out.encoding), ""
        stream.feed(text)
        stream.take()
        stream.leave()
        rows = stream.live()
        self._painter.paint(self._ready)
        self._ready = []
        self._painter.leave_out(rows if text.endswith("\n") else rows[:-1])

    def _say_thought(self) -> bool:
        """Say how long the model thought, unless it did not or nobody wants to know."""
        if not self._tail.strip() or self._thinking == "hide" or self._has_said_thought:
            return False
        self._has_said_thought = True
        words = tr(
            "thought for {seconds:.0f} s, {tokens}",
            seconds=self._thought_s,
            tokens=self._thought_tokens,
        )
        if self._thinking == "show":
            self._ready.append(())
        self._ready.append(((words, theme.DIM),))
        return True

    def _end_stream(self, *, gap: bool = False) -> None:
        if self._stream is not None:
            self._stream.finish()
            self._ready += [*self._stream.take(), *([()] if gap else [])]
            self._stream, self._asked = None, ""

    def _paint(self, status: str) -> None:
        self._adapt()
        live: list[Row] = []
        if self._stream is not None:
            self._ready += self._stream.take()
            live = self._stream.live()
        row = ((f" {visible_line(status)}", theme.DIM),)  # the cursor stands on the blank
        lines, draft, _ = self._queued
        most = max(self._size.lines // QUEUE_SHARE, 1)
        columns = min(self._painter.width, QUEUE_COLUMNS)
        texts = queue_rows(lines, draft, columns=columns, most=most)
        queue: list[Row] = [((text, theme.DIM),) for text in texts]
        self._unpainted, step = 0, max(self._size.lines // 2, 1)
        while len(self._ready) > step:
            if self._out.is_stopped():
                return
            self._painter.paint(self._ready[:step], (), row, queue)
            self._live, self._ready = 0, self._ready[step:]
        self._painter.paint(self._ready, live, row, queue)
        self._live, self._ready = len(live), []

    def _is_known(self, now: float) -> bool:
        """Whether it is known what the window has come to be."""
        self._place.hear(self._queued.cursor)
        return self._has_settled(now) and self._is_placed(now)

    def _has_settled(self, now: float) -> bool:
        """Whether the window keeps its size: nothing is painted while it changes."""
        size = self._out.size()
        if size != self._seen_size:
            self._seen_size, self._changed_at = size, now
        return now - self._changed_at >= SETTLE_S

    def _is_placed(self, now: float) -> bool:
        """Whether all is known of where the rows went when the window changed its width."""
        size = self._seen_size
        is_same = size.columns == self._size.columns
        return is_same or self._place.is_known(now, size)

    def _adapt(self) -> None:
        """Notice that the window changed its size."""
        size, reflow = self._out.size(), self._out.reflows
        if size != self._size:
            row = self._place.take(size)
            back = self._lay_again(size, row) if size.columns != self._size.columns else 0
            self._size = size
            kept = self._painter.resize(size.columns, size.lines, reflow=reflow, back=back, row=row)
            if self._stream is not None:
                self._stream.resize(self._painter.width, keep=kept)

    def _lay_again(self, size: os.terminal_size, row: int) -> int:
        """Lay out again what is in reach, the question too if all of the reply is; returns how many
        rows on the screen are void by that.
        """
        if self._ready:
            return 0
        reflow = self._out.reflows
        reach, known = self._painter.reach(size.columns, size.lines, reflow=reflow, row=row)
        width, back = max(size.columns - 1, 1), 0
        if self._stream is not None:
            back = self._stream.lay_again(width, reach, known)
        above = self._above(self._size.columns)
        if not (self._asked and back + len(above) == known and back < reach):
            return back
        self._ready, self._is_asked_again = self._above(size.columns), True
        return known

    def _above(self, columns: int) -> list[Row]:
        """The rows between what was there before and the reply, as far as they are known."""
        return [*asked_rows(self._asked, columns), *self._thought] if self._asked else []

    def _new_painter(self) -> Painter:
        return Painter(
            self._out.write,
            columns=self._size.columns,
            lines=self._size.lines,
            colours=self._out.colours,
            encoding=self._out.encoding,
        )

    def _new_stream(self, *, dim: bool = False) -> MarkdownStream:
        symbols = theme.UNICODE if self._out.is_unicode else theme.ASCII
        style = theme.DIM if dim else theme.PLAIN
        return MarkdownStream(
            width=self._painter.width,
            prose=self._columns,
            symbols=symbols,
            style=style,
            numbered=not dim,
        )

    def _status(self, now: float) -> str:
        columns = self._painter.width - 1
        if self._first_token_at is None:
            left = self._left.at(self._progress, now)
            forms = progress_forms(self._progress, now - self._started, left)
            return status_row(forms, columns)
        seconds = now - self._first_token_at
        speed = ""
        if seconds > 0.5:
            speed = " · " + tr("{speed:.1f} tok/s", speed=self._tokens.so_far / seconds)
        if not self._is_reply and self._thought_s and self._thinking != "hide":
            passed, tokens = now - self._started, self._thought_tokens
            head = tr("thinking {seconds:.0f} s, {tokens}: …", seconds=passed, tokens=tokens)
            return head + last_words(self._tail, columns - cell_len(head))
        doing = tr("answering") if self._is_reply or not self._thought_s else tr("thinking")
        head = f"{doing} · {self._tokens}"
        return status_row([head + speed, head, doing], columns)


class TokenCount:
    """How many tokens came: as the engine says, or about as many as there were deltas."""

    def __init__(self) -> None:
        self._known = 0
        self._deltas = 0

    def add(self, chunk: Chunk) -> None:
        """Count the tokens of a chunk."""
        self._known += chunk.tokens
        self._deltas += bool(chunk.text or chunk.thinking)

    @property
    def so_far(self) -> int:
        """The best number there is."""
        return self._known or self._deltas

    def __str__(self) -> str:
        return ("" if self._known else "~") + token_phrase(self.so_far)


def last_words(text: str, columns: int) -> str:
    """The end of a text on one line, at most `columns` cells."""
    line = visible_line(text)
    while line and cell_len(line) > columns:
        line = line[1 + (cell_len(line) - columns) // 2 :]
    return line
