"""From the first line to the last: what is read, asked, written and said meanwhile.

Knows nothing of how options are typed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Protocol

from glmcli.cli.asking.each.done import EarlierRun
from glmcli.cli.asking.each.lines import LineReader
from glmcli.cli.asking.each.results import LineAnswer, Results
from glmcli.cli.asking.each.start import check_start
from glmcli.cli.asking.each.tasks import BadLine, LineForm, Task, key_of
from glmcli.cli.asking.each.work import News, TaskSource
from glmcli.cli.dialog import tell
from glmcli.cli.opening import Interrupted
from glmcli.errors import EngineError, GlmError
from glmcli.language import ntr, tr
from glmcli.terminal.output import PipeClosed
from glmcli.terminal.phrases import token_phrase
from glmcli.terminal.replies.text import StatusLine
from glmcli.terminal.signals import Killed
from glmcli.types import Chunk, Progress, Totals

ALIKE = 10
"""So many answers in a row that are the same error of the engine: the next would be one too."""
FEW_NAMES = 5
READER_S = 0.5
"""How long the other end of a pipe is given to show an answer before a row is drawn again."""
_TOLD_OFTEN = 10
"""A listener is told how far it is so many times."""
_TOLD_LINES = 50
"""Or every so many lines, where it is not known how many there are."""


class AnswerWay(Protocol):
    """A way to answers."""

    def news(self, source: TaskSource) -> Iterator[News]:
        """What becomes of the lines of a source. Raises GlmError."""
        ...

    def finish(self) -> None:
        """Ask no more lines: `news` ends as soon as those that are asked alone have their ends."""
        ...


class LinesLeft:
    """The lines that are to be asked: those of a reader which no earlier run has answered."""

    def __init__(
        self, reader: LineReader, form: LineForm, earlier: EarlierRun | None, cancel: Event
    ) -> None:
        self._reader, self._form, self._earlier, self._cancel = reader, form, earlier, cancel
        self._place = 0
        self._looked_at: tuple[int, Task | BadLine] | None = None
        self._seen = Counter[str]()
        self.skipped = 0

    def take(self, *, wait: bool) -> tuple[int, Task | BadLine] | None:
        """See `TaskSource`. Raises UsageError, Killed."""
        found, self._looked_at = self._looked_at, None
        while found is None and not self._cancel.is_set():
            line = self._reader.take(self._cancel.is_set, wait=wait)
            if line is None:
                return None
            task = self._form.task(line)
            if task.id is not None:
                self._seen[key_of(task.id)] += 1
            if isinstance(task, Task) and self._earlier and self._earlier.takes(task):
                self.skipped += 1
                continue
            found = self._place, task
            self._place += 1
        return found

    def check_start(self) -> Iterator[str]:
        """See `start.check_start`."""
        return check_start(self._reader, self._form, self._cancel.is_set)

    def has_some(self) -> bool:
        """Whether there is one, which is waited for."""
        self._looked_at = self.take(wait=True)
        return self._looked_at is not None

    @property
    def total(self) -> int | None:
        """How many lines there are, blank ones too; None as long as more may come."""
        return self._reader.number if self._reader.is_over else None

    @property
    def passed(self) -> int:
        """Lines that need no answer: blank ones, and those that were answered before."""
        return self.skipped + self._reader.blank

    def several(self) -> list[str]:
        """Ids that several lines have."""
        return [key for key, count in self._seen.items() if count > 1]


class HowFar:
    """Says how far it is, where a person sees it."""

    def __init__(
        self,
        status: StatusLine | None,
        left: LinesLeft,
        results: Results,
        *,
        total: int | None = None,
        is_reader: bool = False,
        is_pipe: bool = False,
    ) -> None:
        """`total` is how many lines there are, if that is known beforehand; `is_pipe` says that
        answers go to another program, which may write to this terminal itself.
        """
        self._status, self._left, self._results = status, left, results
        self._is_reader, self._is_pipe = is_reader, is_pipe
        self._total = total
        self._told = -1
        self._ended = 0
        """Lines that have an answer or an error, written or not."""
        self._replies = self._reply_tokens = 0
        """Replies that are whole, and their tokens."""
        self._tokens = 0

    def add(self, news: News) -> None:
        """Take in what became of a line."""
        self._tokens += news.tokens
        if news.answer is not None:
            self._ended += 1
            self._replies += news.answer.error is None
            self._reply_tokens += news.answer.tokens if news.answer.error is None else 0

    def show(self, progress: Progress | None) -> None:
        """Show what an engine says of itself, or else how many lines are done."""
        since = time.monotonic() - self._results.written_at
        if self._status is None or (self._is_pipe and since < READER_S):
            return
        if progress is not None and (progress.stage != "reading"):
            self._status.show(Chunk(progress=progress))
            return
        done = self._left.passed + self._ended
        total = self._left.total if self._total is None else self._total
        if self._is_reader:
            step = max(1, total // _TOLD_OFTEN) if total else _TOLD_LINES
            if done // step == self._told:
                return
            self._told = done // step
        note = ntr("{n:,} line done", "{n:,} lines done", done)
        if total is not None:
            note = tr("{done:,} of {total:,} lines done", done=done, total=total)
        if self._tokens:  # lines that are asked together end together
            note = tr(", ").join([note, token_phrase(self._tokens)])
        self._status.show(Chunk(progress=self._progress(done, total, note)))

    def _progress(self, done: int, total: int | None, note: str) -> Progress:
        """In tokens, if replies have some: those that are not whole yet count too."""
        if not self._tokens or total is None:
            return Progress("parts", done, total, note=note)
        expected = None
        if self._replies and self._reply_tokens:
            each = self._reply_tokens / self._replies
            to_come = total - done + self._replies
            expected = max(round(each * to_come), self._tokens + total - done)
        return Progress("parts", self._tokens, expected, note=note)

    def clear(self) -> None:
        """Take the row back."""
        if self._status is not None:
            self._status.clear()


def write_answers(
    way: AnswerWay,
    left: LinesLeft,
    results: Results,
    how_far: HowFar,
    alike: Alike,
    cancel: Event,
    say: Callable[[str], None],
) -> None:
    """Ask and write all lines. What was answered is written, whatever ends this.

    Where the engine fails for good, lines that are being answered are still waited for.

    `say` tells a person something. Raises GlmError, Interrupted, Killed, PipeClosed.
    """
    told = set[str]()
    with released(results, how_far, cancel):
        for news in way.news(left):
            if news.place is not None:
                results.put(news.place, news.answer)
                results.lost += news.is_lost
                if news.answer is not None and alike.add(news.answer):
                    way.finish()
            if news.notice and news.notice not in told:
                told.add(news.notice)
                how_far.clear()
                say(news.notice)
            how_far.add(news)
            how_far.show(news.progress)
        if alike.failed is not None and not cancel.is_set():
            raise alike.failed


@contextmanager
def released(results: Results, how_far: HowFar, cancel: Event) -> Iterator[None]:
    """Write at the end what is held back. Raises Interrupted where Ctrl-C was the end."""
    try:
        yield
    except PipeClosed:
        if cancel.is_set():  # Ctrl-C ended the reader of the pipe as well
            raise Interrupted from None
        raise
    except BaseException:
        results.release()
        raise
    finally:
        how_far.clear()
    results.release()
    if cancel.is_set():
        raise Interrupted


class Alike:
    """Counts answers in a row that are the same error of the engine."""

    def __init__(self, earlier: EarlierRun | None) -> None:
        self._earlier = earlier
        self._message, self._count = "", 0
        self.failed: GlmError | None = None
        """What to say where there were so many that it is not the lines' fault."""

    def add(self, answer: LineAnswer) -> bool:
        """Count an answer; whether there were too many."""
        error = answer.error
        if not isinstance(error, EngineError):
            self._count = 0
        else:
            self._count = self._count + 1 if error.message == self._message else 1
            self._message = error.message
            if self._count == ALIKE and self.failed is None:
                self.failed = GlmError(
                    tr(
                        "{n} lines in a row failed alike, so the rest was not asked: {message}",
                        n=self._count,
                        message=error.message,
                    ),
                    error.hint or how_to_go_on(self._earlier),
                )
        return self.failed is not None


def how_to_go_on(earlier: EarlierRun | None) -> str:
    """How to ask the lines that have no answer."""
    if earlier is None:
        return tr("--skip-done OUT adds answers to OUT, and asks only what it does not answer")
    return tr("the same command asks only what {name} does not answer", name=earlier.name)


def end_lines(
    reader: LineReader,
    form: LineForm,
    left: LinesLeft,
    earlier: EarlierRun | None,
    results: Results,
) -> Iterator[str]:
    """What is to be said when all is done. Raises GlmError where the answers are gone."""
    if earlier is not None:
        earlier.check_there()
        yield from earlier.told(results.answered, left.skipped)
    if reader.blank:
        yield ntr("{n:,} empty line skipped", "{n:,} empty lines skipped", reader.blank)
    if not reader.found:
        yield tr("{name} has no lines", name=reader.name)
    if several := left.several():
        yield ntr(
            "{n:,} id stands on several lines: {names}",
            "{n:,} ids stand on several lines each: {names}",
            len(several),
            names=few_of(several),
        )
    if form.objects:
        yield ntr(
            "{n:,} line is a JSON object, but was asked as text: the first line is none",
            "{n:,} lines are JSON objects, but were asked as text: the first line is none",
            form.objects,
        )
    if form.unread:
        yield ntr(
            "{n:,} field is not read: {names}; --prompt can send it",
            "{n:,} fields are not read: {names}; --prompt can send them",
            len(form.unread),
            names=few_of([*form.unread]),
        )


@contextmanager
def told_of_a_stop(results: Results, earlier: EarlierRun | None) -> Iterator[None]:
    """Say how far it got, and how to go on, if it is stopped. Raises GlmError as `end_lines`."""
    try:
        yield
    except (Interrupted, Killed):
        if earlier is not None:
            earlier.check_there()
        n, lost = results.answered, results.lost
        said = [ntr("stopped: {n:,} answer is written", "stopped: {n:,} answers are written", n)]
        if lost:
            said += [ntr("{n:,} line was being answered", "{n:,} lines were being answered", lost)]
        tell(tr("; ").join([*said, how_to_go_on(earlier)]))
        raise


def few_of(names: list[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:FEW_NAMES]) + (", …" if names[FEW_NAMES:] else "")


def cost_of_lines(totals: Totals, started: float) -> str:
    """What all answers cost, for --stats; `started` by the monotonic clock."""
    seconds = max(time.monotonic() - started, 1e-9)
    return tr(
        "{turns:,} answers in {seconds:.1f} s: read {prompt_tokens:,} tokens, {cached_tokens:,} of"
        " them cached, wrote {completion_tokens:,}, {speed:.1f} tokens/s",
        turns=totals.turns,
        seconds=seconds,
        prompt_tokens=totals.prompt_tokens,
        cached_tokens=totals.cached_tokens,
        completion_tokens=totals.completion_tokens,
        speed=totals.completion_tokens / seconds,
    )


def check_all_answered(results: Results, earlier: EarlierRun | None) -> None:
    """Raise GlmError if some lines have an error in place of an answer."""
    if results.failed:
        all_bad = results.bad == results.failed
        raise GlmError(
            ntr(
                "{n:,} of {total:,} lines has an error in place of an answer",
                "{n:,} of {total:,} lines have an error in place of an answer",
                results.failed,
                total=results.failed + results.answered,
            ),
            tr("each says what is wrong with its line: correct that")
            if all_bad
            else how_to_go_on(earlier),
        )
