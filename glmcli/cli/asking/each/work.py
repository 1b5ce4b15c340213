"""The lines that are left to be asked, and the two ways to their answers.

`Together` gives many to one engine at once; `Servers` asks a server from several threads, each
with an engine of its own. Both take the next lines only when they have time for them. Knows nothing
of what is written.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from glmcli.cli.asking.each.results import LineAnswer
from glmcli.cli.asking.each.tasks import BadLine, Task
from glmcli.config import Settings
from glmcli.engines import SERVERS, Engine, open_engine, split_name
from glmcli.engines.batches import is_end
from glmcli.engines.delivery import TICK_S
from glmcli.engines.failures import as_user_error, opening_failed
from glmcli.engines.reply import Growing, broken_off
from glmcli.engines.thread import EngineThread, engine_of
from glmcli.errors import ConnectionLost, ContextFull, GlmError, ServerRefused
from glmcli.language import tr
from glmcli.terminal.phrases import no_answer
from glmcli.types import Chunk, Message, Progress

LINES_AT_ONCE = 256
"""Lines that one engine is given at once."""
MOST_CHARS_AT_ONCE = 8_000_000
"""Characters of all lines together that it is given at once, but for the last."""
MOST_LOSSES = 2
"""So often a line is asked again whose process has ended."""
MOST_TRIES = 8
"""How often a line is asked while a server is busy."""
LONGEST_WAIT_S = 60.0
"""Between two of them, where the server does not say how long."""
LONGEST_TOLD_S = 3600.0
"""Where it does: a line that is to wait for longer has an error instead."""


class News(NamedTuple):
    """What comes from a way to answers; with no place it is a tick, or of all lines."""

    place: int | None = None
    """Of the line, from 0."""
    answer: LineAnswer | None = None
    """With a place: what became of it; None if it was interrupted."""
    progress: Progress | None = None
    notice: str = ""
    tokens: int = 0
    """Made since the last news of the same line."""
    is_lost: bool = False
    """It was being answered when all was stopped."""


class TaskSource(Protocol):
    """Where lines come from."""

    def take(self, *, wait: bool) -> tuple[int, Task | BadLine] | None:
        """The next place and line; None at the end, when stopped, or without waiting if there is
        none yet.
        """
        ...


class GrowingAnswer:
    """The answer to one line while it comes."""

    def __init__(self, place: int, task: Task, engine: Engine, window: int | None) -> None:
        """`window` is what was set, if it was."""
        self._place, self._task, self._engine, self._window = place, task, engine, window
        self._growing: Growing | None = None

    @property
    def has_begun(self) -> bool:
        """Whether some of it is there."""
        return self._growing is not None and self._growing.first_token_s is not None

    def begin(self) -> Growing:
        """Start the clock, if the first piece has not done so."""
        if self._growing is None:
            self._growing = Growing()
        return self._growing

    def add(self, item: Chunk | GlmError) -> News:
        """Take in the next piece: what is new by it."""
        growing = self.begin()
        if isinstance(item, GlmError):
            reply = growing.message("interrupted")
            has_text = bool(reply.text or reply.thinking)
            return self._news(self._answer(reply if has_text else None, self._told(item)))
        told = growing.tokens
        growing.add(item)
        if item.finish_reason is None:
            return News(progress=item.progress, notice=item.notice, tokens=item.tokens)
        if item.finish_reason == "cancelled":
            return self._news(None)._replace(is_lost=self.has_begun)
        reply = growing.message(item.finish_reason, item.usage)
        answer = self._answer(reply, self._nothing(reply))
        return self._news(answer)._replace(tokens=answer.tokens - told)

    def _news(self, answer: LineAnswer | None) -> News:
        return News(self._place, answer)

    def _nothing(self, reply: Message) -> GlmError | None:
        return no_answer(reply, self._engine.context_tokens, self._window)

    def _told(self, error: GlmError) -> GlmError:
        """The error, which says so where the window is one that was set."""
        if not isinstance(error, ContextFull) or error.limit is None or error.limit != self._window:
            return error
        return ContextFull(
            error.needed, error.limit, error.output, is_set=True, at_least=error.at_least
        )

    def _answer(self, reply: Message | None, error: GlmError | None) -> LineAnswer:
        return LineAnswer(self._task.id, self._task.line, reply, error, self._task.asked)


class AskedLine(NamedTuple):
    """A line that an engine is given."""

    place: int
    task: Task
    losses: int = 0
    """How often the process that was to answer it has ended."""


def next_line(source: TaskSource, *, wait: bool) -> Generator[News, None, AskedLine | None]:
    """The next line that can be asked; what is wrong with others is told."""
    while found := source.take(wait=wait):
        place, task = found
        if isinstance(task, Task):
            return AskedLine(place, task)
        yield News(place, LineAnswer(task.id, task.line, error=task.error))
    return None


class Together:
    """All lines to one engine, as many at once as it can."""

    def __init__(
        self, engine: EngineThread, cancel: threading.Event, window: int | None = None
    ) -> None:
        """`window` is what was set, if it was."""
        self._engine, self._cancel, self._window = engine, cancel, window
        self._is_ending = False

    def finish(self) -> None:
        """Ask no more lines, but wait for those whose answers have begun."""
        self._is_ending = True

    def news(self, source: TaskSource) -> Iterator[News]:
        """What becomes of the lines. Raises GlmError where the engine cannot be opened.

        A line whose process has ended is asked again before all behind it, the last time alone:
        one that ends it takes no other with it.
        """
        again: list[AskedLine] = []
        while not (self._cancel.is_set() or self._is_ending):
            if again:
                alone = (n for n, it in enumerate(again) if it.losses == MOST_LOSSES)
                count = max(1, next(alone, len(again)))
                group, again = again[:count], again[count:]
            else:
                group = yield from self._taken(source)
            if not group:
                return
            left = yield from self._asked(group)
            again = [*left, *again]

    def _asked(self, group: list[AskedLine]) -> Generator[News, None, list[AskedLine]]:
        """Ask some lines; those that are to be asked again, since the process has ended.

        They are all that have no end by then: their answers would wait for those that were lost.
        """
        growing = [
            GrowingAnswer(line.place, line.task, self._engine, self._window) for line in group
        ]
        prompts = [(line.task.messages, line.task.params) for line in group]
        left, lost = dict.fromkeys(range(len(group))), set[int]()
        awaited: set[int] | None = None
        with closing(self._engine.batch(prompts, self._cancel)) as items:
            for index, item in items:
                if isinstance(item, ConnectionLost) and group[index].losses < MOST_LOSSES:
                    lost.add(index)
                    continue
                if lost:
                    break
                if is_end(item):
                    left.pop(index, None)
                if self._engine.is_open:
                    yield growing[index].add(item)
                elif isinstance(item, Chunk):
                    yield News(progress=item.progress or Progress("waiting"))
                if self._is_ending and awaited is None:
                    awaited = {index for index in left if growing[index].has_begun}
                if awaited is not None and awaited.isdisjoint(left):
                    return []
        if not lost:
            return []
        # A process ends by what it answers, if that can be known.
        blamed = {index for index in left if growing[index].has_begun} or lost
        return [
            group[index]._replace(losses=group[index].losses + (index in blamed)) for index in left
        ]

    def _taken(self, source: TaskSource) -> Generator[News, None, list[AskedLine]]:
        """The next lines for the engine."""
        group: list[AskedLine] = []
        chars = 0
        while len(group) < LINES_AT_ONCE and chars < MOST_CHARS_AT_ONCE:
            line = yield from next_line(source, wait=not group)
            if line is None:
                break
            group.append(line)
            chars += sum(len(each.text) for each in line.task.messages)
        return group


class Servers:
    """Lines to a server, some at the same time, each over a connection of its own."""

    def __init__(self, settings: Settings, at_once: int, cancel: threading.Event) -> None:
        self._settings, self._at_once, self._cancel = settings, at_once, cancel
        self._lines: SimpleQueue[AskedLine] = SimpleQueue()
        self._news: SimpleQueue[tuple[News, bool]] = SimpleQueue()
        """News, and whether the thread that they come from has its engine."""
        self._threads = 0
        self._is_ending = False
        self._busy_until = 0.0
        """When the server may be asked again, by the monotonic clock: that is for all lines."""

    def news(self, source: TaskSource) -> Iterator[News]:
        """What becomes of the lines.

        Raises GlmError where the server cannot be asked at all, or no more lines can be read; those
        that it has are waited for.
        """
        waiting, has_opened = 0, False
        failed: GlmError | None = None
        while not self._cancel.is_set() or waiting:
            while waiting < self._at_once and not (self._cancel.is_set() or self._is_ending):
                try:
                    line = yield from next_line(source, wait=not waiting)
                except GlmError as exc:
                    failed = exc
                    self.finish()
                    break
                if line is None:
                    break
                waiting += 1
                self._ask(line)
            if not waiting:
                if failed is not None:
                    raise failed
                return
            try:
                news, is_open = self._news.get(timeout=TICK_S)
            except Empty:
                yield News(progress=self._pause())
                continue
            has_opened = has_opened or is_open
            if news.answer and news.answer.error and not has_opened:
                raise news.answer.error
            waiting -= news.place is not None
            yield news

    def finish(self) -> None:
        """Ask no more lines, but wait for those that the server has."""
        self._is_ending = True

    def _ask(self, line: AskedLine) -> None:
        self._lines.put(line)
        if self._threads < self._at_once:
            self._threads += 1
            threading.Thread(target=self._work, name="each", daemon=True).start()

    def _pause(self) -> Progress | None:
        seconds = self._busy_until - time.monotonic()
        if seconds <= 0:
            return None
        note = tr("the server is busy: asking again in {seconds:.0f} s", seconds=seconds + 0.5)
        return Progress("parts", note=note)

    def _work(self) -> None:
        engine: Engine | None = None
        while True:
            line = self._lines.get()
            for tried in itertools.count(1):
                if self._wait_until_free():
                    self._news.put((News(line.place), engine is not None))
                    break
                try:
                    if engine is None:
                        engine = open_engine(self._settings, lambda progress: None)
                        self._news.put((News(), True))
                except BaseException as exc:  # whatever it is, the main thread must hear of it
                    failed = opening_failed(exc)
                    if self._is_to_wait(failed, tried):
                        continue
                    answer = LineAnswer(line.task.id, line.task.line, error=failed)
                    self._news.put((News(line.place, answer), False))
                    break
                if not self._answer(engine, line, tried):
                    break

    def _answer(self, engine: Engine, line: AskedLine, tried: int) -> bool:
        """Ask a line; whether to ask it again, since the server is busy."""
        place, task, _ = line
        growing = GrowingAnswer(place, task, engine, self._settings.window)
        growing.begin()
        stream = engine.stream(task.messages, task.params, self._cancel)
        while True:
            try:
                item: Chunk | GlmError = next(stream, None) or broken_off()
            except BaseException as exc:  # a library may panic, or try to exit
                item = as_user_error(exc)
            if isinstance(item, GlmError) and self._is_to_wait(item, tried):
                return True
            news = growing.add(item)
            if news.notice or news.tokens or news.place is not None:
                self._news.put((news, True))
            if news.place is not None:
                stream.close()
                return False

    def _is_to_wait(self, error: GlmError, tried: int) -> bool:
        """Whether the server says that it is busy and is to be asked again; sets until when."""
        if not isinstance(error, ServerRefused) or error.wait_s is None or tried >= MOST_TRIES:
            return False
        if error.wait_s > LONGEST_TOLD_S:
            return False
        seconds = error.wait_s or min(2.0 ** (tried - 1), LONGEST_WAIT_S)
        self._busy_until = max(self._busy_until, time.monotonic() + seconds)
        return True

    def _wait_until_free(self) -> bool:
        """Wait as long as the server is known to be busy; whether no more is to be asked."""
        while not self._is_ending and (seconds := self._busy_until - time.monotonic()) > 0:
            if self._cancel.wait(min(seconds, TICK_S)):
                return True
        return self._is_ending or self._cancel.is_set()


def way_to_answers(
    settings: Settings, parallel: int | None, cancel: threading.Event
) -> Together | Servers:
    """All lines to one engine, or to a server from several threads."""
    if parallel or split_name(settings.model)[0] in SERVERS:
        return Servers(settings, parallel or 1, cancel)
    return Together(engine_of(settings), cancel, settings.window)
