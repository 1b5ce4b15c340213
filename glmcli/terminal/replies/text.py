"""Views: one reply on a terminal or in a pipe; and the lines around it.

A view gets chunks and writes text. Knows nothing of engines, sessions or stores.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from glmcli.conversation.attachments import headings_only
from glmcli.errors import GlmError
from glmcli.language import tr
from glmcli.terminal.asked import write_question
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import TimeLeft, fitting, progress_forms, progress_line
from glmcli.terminal.quiet import Quiet
from glmcli.terminal.visible import visible, visible_line
from glmcli.types import Chunk, Message, Progress

if TYPE_CHECKING:
    from glmcli.terminal.markdown.code import CodeMarks
    from glmcli.terminal.rows import WordRows


class BaseView:
    """A view that shows nothing; the others fill in what they show."""

    _quiet: AbstractContextManager[object] = nullcontext()
    """What is entered while the reply is shown: a terminal is quiet then."""

    def __enter__(self) -> Self:
        self._quiet.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._quiet.__exit__(kind, exc, trace)

    def show(self, chunk: Chunk) -> None:
        """Show the next piece of a reply."""

    def take(self, chunk: Chunk) -> None:
        """Take in the rest of a reply, which is there already; `finish` or `abandon` comes next."""
        self.show(chunk)

    def finish(self, reply: Message) -> None:
        """The reply is complete."""

    def abandon(self) -> None:
        """The reply broke off."""

    def fail(self, error: GlmError) -> None:
        """Tell a machine of an error. People are told by the door that they came through."""


class StatusLine:
    """One row that says what happens until there is text; it leaves nothing behind."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._started = time.monotonic()
        self._shown = ""
        self._progress: Progress | None = None
        self._left = TimeLeft()
        self._is_thinking = False

    def show(self, chunk: Chunk) -> None:
        """Say what happens; to a listener each state once."""
        self._progress = chunk.progress or self._progress
        self._is_thinking = self._is_thinking or bool(chunk.thinking)
        now = time.monotonic()
        seconds = now - self._started
        forms = progress_forms(self._progress, seconds, self._left.at(self._progress, now))
        if self._output.is_reader:
            state = tr("thinking") if self._is_thinking else progress_line(self._progress, None)
            self.tell(visible_line(state))
            return
        if self._is_thinking:
            forms = [tr("thinking") + tr(", {seconds:.0f} s", seconds=seconds)]
        self.say(*forms)

    def say(self, *forms: str) -> None:
        """Show the first form that fits the row, if the terminal can take it back.

        A listener is told the first, unless only what stands behind its comma is new.
        """
        if self._output.is_reader:
            self.tell(forms[0])
            return
        row = fitting(forms, self._output.size().columns - 1)
        if self._output.is_live and row != self._shown:
            self._output.write(f"\r\x1b[K{row}")
            self._shown = row

    def tell(self, state: str) -> None:
        """Say a state in words, on a row of its own, if it is a new one."""
        kind = state.split(tr(", "))[0]
        if self._output.is_tty and kind != self._shown:
            self._output.write(f"{state}\n")
            self._shown = kind

    def say_line(self, line: str) -> None:
        """Say a line that stays."""
        self.clear()
        self._output.say(f"{visible_line(line)}\n")

    def clear(self) -> None:
        """Take the row back."""
        if self._shown and not self._output.is_reader:
            self._output.write("\r\x1b[K")
            self._shown = ""


class TextView(BaseView):
    """Raw text, one write per delta, exactly one newline at the end; thinking goes to `err`.

    Folded thinking is a row that leaves nothing behind, and is shown where there are no such rows.
    """

    def __init__(
        self,
        out: Output,
        err: Output | None = None,
        *,
        thinking: str = "hide",
        stream: bool = True,
        status: StatusLine | None = None,
    ) -> None:
        self._out = out
        cannot_fold = err is not None and not err.is_live
        self._err = err if thinking == "show" or (thinking == "fold" and cannot_fold) else None
        self._status = status
        self._stream = stream
        self._held = ""
        self._wrote = False
        self._was_thinking = False

    def show(self, chunk: Chunk) -> None:
        """Write the delta; line ends are held back until something follows them."""
        if self._status:
            if chunk.text or (chunk.thinking and self._err) or chunk.finish_reason:
                self._status.clear()
                if self._out.is_reader and chunk.text:
                    self._status.tell(tr("the answer:"))
                self._status = None
            else:
                self._status.show(chunk)
        if chunk.thinking and self._err:
            if not self._was_thinking and self._wrote and self._err is self._out:
                self._err.write("\n")
            self._err.say(chunk.thinking)
            self._was_thinking = True
        if chunk.was_thinking:  # what is out cannot be taken back
            self._held = "\n\n" if self._wrote else ""
        if not chunk.text:
            return
        self._end_thinking()
        text = self._held + chunk.text
        body = text.rstrip("\n")
        self._held = text[len(body) :]
        if not self._stream:
            self._held = text
        elif body:
            self._wrote = True  # first, since a signal may end the write
            self._out.write(body)

    def finish(self, reply: Message) -> None:
        """End the line; nothing is written for a reply without a word."""
        self._end_thinking()
        if not self._stream:
            self._out.write(reply.text.rstrip("\n"))
        if reply.text:
            self._out.write("\n")

    def abandon(self) -> None:
        """End the line if there is one."""
        if self._status:
            self._status.clear()
        self._end_thinking()
        if self._wrote:
            self._out.write("\n")

    def _end_thinking(self) -> None:
        if self._was_thinking and self._err:
            self._err.write("\n")
        self._was_thinking = False


class PlainView(TextView):
    """Deltas on a terminal without Markdown: made harmless, with a status row until they come.

    Blocks of code show their numbers, if `numbered`; `after` is the text that the reply goes on
    with.
    """

    def __init__(
        self,
        out: Output,
        quiet: Quiet,
        *,
        thinking: str = "fold",
        after: str = "",
        numbered: bool = True,
    ) -> None:
        shown = "show" if thinking == "show" else "hide"
        super().__init__(out, out, thinking=shown, status=StatusLine(out))
        self._quiet = self._terminal = quiet
        self._marks = self._new_marks(after) if numbered else None
        self._rows: dict[str, WordRows] = {}
        """For a listener, who would hear halves of words: those of thoughts, and of the text."""
        if out.is_reader:
            from glmcli.terminal.rows import WordRows  # it imports Rich

            self._rows = {"thinking": WordRows(), "text": WordRows()}

    def show(self, chunk: Chunk) -> None:
        """Write the delta, or the status while there is none."""
        self._terminal.collect()
        if chunk.was_thinking and self._marks:
            self._marks = self._new_marks()
        text = self._marks.feed(chunk.text) if self._marks else visible(chunk.text)
        thought = self._fitted("thinking", visible(chunk.thinking), is_end=bool(text))
        text = self._fitted("text", text, is_end=chunk.finish_reason is not None)
        super().show(replace(chunk, text=text, thinking=thought))

    def _fitted(self, kind: str, text: str, *, is_end: bool = False) -> str:
        rows, columns = self._rows.get(kind), self._out.size().columns
        if rows is None:
            return text
        return rows.feed(text, columns) + (rows.finish(columns) if is_end else "")

    def abandon(self) -> None:
        """End the line if there is one."""
        self._show_held()
        super().abandon()

    def _show_held(self) -> None:
        text = self._marks.finish() if self._marks else ""
        thought = self._fitted("thinking", "", is_end=True)
        super().show(Chunk(self._fitted("text", text, is_end=True), thinking=thought))

    def _new_marks(self, after: str = "") -> CodeMarks:
        from glmcli.terminal.markdown.code import CodeMarks

        dim, end = ("\x1b[2m", "\x1b[0m") if self._out.colours else ("", "")
        return CodeMarks(after, style=dim, end=end)

    def finish(self, reply: Message) -> None:
        """End the line, if there is one."""
        self._show_held()
        if reply.text:
            super().finish(reply)
        else:
            self._end_thinking()


class AtTheEnd(BaseView):
    """Shows a reply through another view, but not before it is complete."""

    def __init__(self, view: BaseView) -> None:
        self._view = view
        self._quiet = view

    def show(self, chunk: Chunk) -> None:
        """Show what happens, without the text."""
        self._view.show(replace(chunk, text="", thinking=""))

    def finish(self, reply: Message) -> None:
        """Show the reply."""
        self._view.take(Chunk(thinking=reply.thinking))
        self._view.take(Chunk(reply.text))
        self._view.finish(replace(reply, finish_reason=reply.finish_reason and "stop"))

    def abandon(self) -> None:
        """The reply broke off."""
        self._view.abandon()


class Announced(BaseView):
    """Another view, and elsewhere a row that says what happens until there is text."""

    def __init__(self, view: BaseView, status: StatusLine) -> None:
        self._view = self._quiet = view
        self._status: StatusLine | None = status

    def show(self, chunk: Chunk) -> None:
        """Show the next piece, or what happens."""
        if chunk.text or chunk.thinking or chunk.finish_reason:
            self._clear()
        elif self._status:
            self._status.show(chunk)
        self._view.show(chunk)

    def finish(self, reply: Message) -> None:
        """The reply is complete."""
        self._clear()
        self._view.finish(reply)

    def abandon(self) -> None:
        """The reply broke off."""
        self._clear()
        self._view.abandon()

    def fail(self, error: GlmError) -> None:
        """Tell a machine of an error."""
        self._view.fail(error)

    def _clear(self) -> None:
        if self._status:
            self._status.clear()
        self._status = None


class CodeView(AtTheEnd):
    """Shows only code of a reply when it is complete; nothing of one that was stopped.

    Nor of one without that code: who asks says so, see `chosen_code`.
    """

    def __init__(self, view: BaseView, which: str) -> None:
        super().__init__(view)
        self._which = which

    def show(self, chunk: Chunk) -> None:
        """Show what happens, without the text."""
        self._view.show(replace(chunk, text=""))

    def finish(self, reply: Message) -> None:
        """Show the code."""
        from glmcli.terminal.markdown.code import chosen_code

        try:
            code = chosen_code(reply.text, self._which)
        except GlmError:
            return self.abandon()
        if reply.finish_reason == "cancelled":
            return self.abandon()
        self._view.show(Chunk(code))
        return self._view.finish(replace(reply, text=code))


def terminal_view(
    out: Output, quiet: Quiet, *, thinking: str, plain: bool, columns: int = 0, after: str = ""
) -> BaseView:
    """Live Markdown, or plain text if wanted or needed; `after` is the reply that goes on.

    `columns` is the width of its prose, 0 that of the window.
    """
    if plain or not out.is_live:
        return PlainView(out, quiet, thinking=thinking, after=after)
    from glmcli.terminal.replies.live import LiveView

    return LiveView(out, quiet, thinking=thinking, columns=columns, after=after)


def show_message(
    out: Output, quiet: Quiet, message: Message, *, plain: bool, columns: int = 0
) -> None:
    """Show a message that is there already, as it was shown when it arrived."""
    if message.role == "user":
        write_question(out, headings_only(message.text))
    else:
        view = terminal_view(out, quiet, thinking="hide", plain=plain, columns=columns)
        view.take(Chunk(message.text))
        view.abandon()
