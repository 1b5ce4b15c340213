"""An engine that answers about a text longer than the window of the one behind it.

The text is cut into parts; each is answered with the question in view, and of the answers one is
made, in as many levels as that needs. What all parts begin with stands first in each prompt, so
that an engine reads it once. Knows nothing of the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from threading import Event

from glmcli.cli.asking.about import (
    LABEL_TOKENS,
    LEAST_ANSWER,
    MARGIN,
    LongText,
    Made,
    Room,
    no_room_for_parts,
)
from glmcli.cli.asking.behind import ANSWER_SHARE, WrappedEngine
from glmcli.cli.asking.parts import cut_text
from glmcli.conversation.window import REPLY_SHARE
from glmcli.engines import Engine
from glmcli.engines.estimate import TOKEN_BYTES, likely_tokens
from glmcli.engines.reply import Growing, broken_off
from glmcli.errors import ContextFull, GlmError, NoText, ReplyTooLong
from glmcli.language import ntr, tr
from glmcli.terminal.phrases import token_phrase
from glmcli.types import Chunk, GenerationParams, Message, Progress

ASSUMED_WINDOW = 8192
"""What a window is taken for of which nothing is known but that it is full."""
MOST_ANSWER = 512
"""Tokens that an answer to a part takes at most."""
BRIEF_SHARE, BRIEF_ANSWER = 32, 128
"""It may take the window divided by the first, or the second, however many parts there are."""
LEAST_PART = 200
"""Characters: a shorter part that is refused is not cut again."""
ALL = 9999
"""Stands for the number of parts while that is not known."""
MEASURED_S = 0.5
"""Writing is measured so long before it is said how long a part will take."""


class PartsEngine(WrappedEngine):
    """Answers the last message in parts of a text; the messages before it are sent with each."""

    def __init__(
        self, engine: Engine, long: LongText, window: int | None, *, quiet: bool = False
    ) -> None:
        """`window` is what the engine said of it when it refused the text; `quiet` says nothing of
        how far it is.
        """
        super().__init__(engine)
        self._long = long
        self._is_quiet = quiet
        self._window = window or engine.context_tokens or ASSUMED_WINDOW
        self.made = Made()

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield what is done, and then the answer made of those to the parts. Raises GlmError."""
        self.made = Made()
        way = _Way(self.behind, self._long, self._window, messages[:-1], params, cancel, self.made)
        for chunk in way.chunks():
            is_silent = self._is_quiet and chunk.progress and chunk.progress.stage == "parts"
            yield Chunk() if is_silent else chunk


class Moving:
    """How far the answer to one part is: the share of it that is done, and words for that."""

    def __init__(self, doing: Progress, characters: int, most: int) -> None:
        """`doing` is what was done before it; its answer has `most` tokens at most."""
        self._now = self._doing = doing
        self._characters, self._most = characters, most
        self._started, self._first_at = time.monotonic(), 0.0
        self._written = 0

    def after(self, chunk: Chunk) -> Progress:
        """What is done now. An answer is taken to be as long as it may, until it ends."""
        doing, reading = self._doing, chunk.progress
        if chunk.text or chunk.thinking:
            now = time.monotonic()
            self._first_at = self._first_at or now
            self._written += chunk.tokens or 1
            words = token_phrase(self._written)
            share, wrote_s = 0.0, now - self._first_at
            if wrote_s >= MEASURED_S:
                takes_s = self._first_at - self._started + wrote_s * self._most / self._written
                share = min((now - self._started) / takes_s, 1.0)
            done = max(self._now.done, doing.done + int(share * self._characters))
            self._now = replace(doing, done=done, note=tr(", ").join([doing.note, words]))
        elif reading and reading.stage == "reading" and reading.total and not self._written:
            words = tr(
                "reading {done:,} of {total:,} tokens", done=reading.done, total=reading.total
            )
            self._now = replace(doing, note=tr(", ").join([doing.note, words]))
        return self._now


class _Way:
    """The way from a text to one answer."""

    def __init__(
        self,
        engine: Engine,
        long: LongText,
        window: int,
        before: Sequence[Message],
        params: GenerationParams,
        cancel: Event,
        made: Made,
    ) -> None:
        """Raises GlmError if nothing fits beside the question."""
        self._engine, self._long, self._before = engine, long, before
        self._params, self._cancel, self._made = params, cancel, made
        self._is_estimated = False
        self._cut_answers = 0
        self._heading = ""
        self._told = set[str]()
        self._window = window
        self._held: int | None = None
        """The window that an engine named when it refused what should have fit."""
        self._fit(window)

    def _fit(self, window: int) -> None:
        """Find out what fits a window. Raises GlmError if nothing does beside the question."""
        self._fitted = window
        self._brief = min(window // BRIEF_SHARE, BRIEF_ANSWER)
        self._most = window - window // MARGIN
        """Tokens of a prompt and its answer."""
        self._last = self._most - (self._params.max_tokens or window // REPLY_SHARE)
        """Tokens of a prompt of answers."""
        self._left = self._last - self._size(self._long.combined(()))
        """Tokens of all answers in it."""
        room = self._left // 2 - LABEL_TOKENS
        self._answer_tokens = min(window // ANSWER_SHARE, MOST_ANSWER, room)
        if self._answer_tokens < LEAST_ANSWER:
            raise self._nothing_fits()

    def chunks(self) -> Generator[Chunk, None, None]:
        """See `PartsEngine.stream`."""
        parts = yield from self._cut(self._long.text, self._most - self._answer_tokens)
        if len(parts) < 2:
            yield from self._finish(self._long.prompt(self._long.text))
            return
        answers = yield from self._map(parts)
        while True:
            last = yield from self._reduce(answers)
            try:
                yield from self._finish(last)
                return
            except ContextFull as exc:
                self._shrink(exc)
                if len(answers) == 1:
                    raise self._nothing_fits() from exc

    def _size(self, question: Message) -> int:
        """The size of a prompt, estimated if it is not known."""
        return self._count([*self._before, question])

    def _count(self, prompt: Sequence[Message]) -> int:
        size = self._engine.count(prompt, self._cancel, self._params.think)
        if size is not None:
            return size
        self._is_estimated = True
        return likely_tokens(prompt)

    def _nothing_fits(self) -> GlmError:
        """The error where no two answers fit beside the question and what is before it."""
        room = Room(self._window, self._held, self._params.max_tokens)
        return no_room_for_parts(self._long, self._before, self._count, room)

    def _shrink(self, exc: ContextFull) -> None:
        """Combine fewer answers at once: a guess was wrong, or the window has become smaller."""
        self._held = exc.limit
        self._last //= 2

    def _cut(self, text: str, most: int, done: int = 0) -> Generator[Chunk, None, list[str]]:
        """Cut a text so that the prompt for each part has so many tokens at most.

        `done` parts were answered before it.
        """

        def fits(part: str) -> bool:
            return not self._cancel.is_set() and self._size(self._long.part(ALL, ALL, part)) <= most

        doing = Chunk(progress=Progress("parts", note=tr("cutting the text into parts")))
        yield doing
        parts: list[str] = []
        for part in cut_text(text, fits, most * TOKEN_BYTES):
            if self._cancel.is_set():
                break
            parts.append(part)
            yield doing
        each = self._left // max(done + len(parts), 1) - LABEL_TOKENS
        self._answer_tokens = min(self._answer_tokens, max(each, self._brief, LEAST_ANSWER))
        return parts

    def _map(self, parts: list[str]) -> Generator[Chunk, None, list[str]]:
        """Answer each of the parts; from one that the engine refuses on they are cut again."""
        answers: list[str] = []
        read = 0
        while len(answers) < len(parts) and not self._cancel.is_set():
            number, count = len(answers) + 1, len(parts)
            part = parts[number - 1]
            # To combine them takes about as long as one more part.
            total = len(self._long.text) * (count + 1) // count
            state = tr("part {number:,} of {count:,}", number=number, count=count)
            doing = Progress("parts", read, total, note=state)
            try:
                question = self._long.part(number, count, part)
                heading = tr("Part {number:,} of {count:,}:", number=number, count=count)
                moving = Moving(doing, len(part), self._answer_tokens)
                self._made.number, self._made.parts = number, count
                answers.append((yield from self._answer(question, moving, doing.note, heading)))
                read += len(part)
                self._made.answered += bool(answers[-1]) and not self._cancel.is_set()
            except ContextFull as exc:
                most = self._refused(exc, part)
                rest = "".join(parts[number - 1 :])
                parts[number - 1 :] = yield from self._cut(rest, most, number - 1)
        self._made.parts, self._made.levels = len(parts), 1
        said = [answer for answer in answers if answer]
        if not said and not self._cancel.is_set():
            raise NoText(tr("the model answered no part with a word"), again=True)
        return said

    def _refused(self, exc: ContextFull, part: str) -> int:
        """How many tokens a prompt may have after a refusal: what fits the window that it names, as
        its engine counts; else half of the part less. Raises GlmError if nothing fits.
        """
        self._held = exc.limit
        if len(part) < LEAST_PART:
            raise self._nothing_fits() from exc
        if exc.limit and exc.limit < self._fitted:
            self._fit(exc.limit)
        size, beside = (self._size(self._long.part(ALL, ALL, it)) for it in (part, ""))
        share = min(size / exc.needed, 1.0) if exc.needed else 1.0
        most = int((self._most - self._answer_tokens) * share)
        return most if beside < most < size else (beside + size) // 2

    def _reduce(self, answers: list[str]) -> Generator[Chunk, None, Message]:
        """Combine answers until one prompt holds them all; returns that."""
        levels, self._made.is_combining = 2, not self._cancel.is_set()
        while not self._cancel.is_set():
            groups = self._groups(answers)
            if len(groups) <= 1:
                break
            if len(groups) == len(answers):
                raise self._nothing_fits()
            state = tr("combining {n:,} answers", n=len(answers))
            combined: list[str] = []
            try:
                for at, group in enumerate(groups):
                    moving = Moving(Progress("parts", at, len(groups), note=state), 0, 1)
                    question = self._long.combined(group)
                    combined.append((yield from self._answer(question, moving, state)))
            except ContextFull as exc:
                self._shrink(exc)
                continue
            answers = [answer for answer in combined if answer] or answers[:1]
            levels += 1
        self._made.levels = levels
        return self._long.combined(answers)

    def _groups(self, answers: Sequence[str]) -> list[list[str]]:
        """Answers that follow each other, as many as a prompt holds."""
        groups: list[list[str]] = []
        for answer in answers:
            with_it = [*groups[-1], answer] if groups else [answer]
            if groups and self._size(self._long.combined(with_it)) <= self._last:
                groups[-1] = with_it
            else:
                groups.append([answer])
        return groups

    def _answer(
        self, question: Message, moving: Moving, where: str, heading: str = ""
    ) -> Generator[Chunk, None, str]:
        """One answer, of which how far it is comes out; with a heading it is kept as a draft."""
        growing = Growing()
        yield Chunk(progress=moving.after(Chunk()))
        most = self._answer_tokens
        brief = replace(self._params, max_tokens=most, stop=())
        try:
            for chunk in self._streamed(question, brief):
                growing.add(chunk)
                if chunk.notice and chunk.notice not in self._told:
                    self._told.add(chunk.notice)
                    yield Chunk(notice=chunk.notice)
                if chunk.finish_reason in ("length", "time"):
                    self._cut_answers += 1
                    check_begun(growing)
                draft = self._drafted(heading, chunk.text) if heading and chunk.text else ""
                yield Chunk(progress=moving.after(chunk), draft=draft)
        except ContextFull:
            raise
        except ReplyTooLong as exc:  # the number was ours
            self._answer_tokens = min(most // 2, exc.most // ANSWER_SHARE)
            self._held = exc.most
            if self._answer_tokens < LEAST_ANSWER:
                raise self._nothing_fits() from exc
            raise ContextFull(None, exc.most) from exc
        except GlmError as exc:
            raise placed(exc, where) from exc
        return "".join(growing.text).strip()

    def _finish(self, question: Message) -> Generator[Chunk, None, None]:
        """Yield the last answer, and what is to be said of it."""
        if self._cancel.is_set():
            yield Chunk(finish_reason="cancelled")
            return
        heading = tr("All parts combined:") if self._made.answered else ""
        for chunk in self._streamed(question, self._params):
            if heading and chunk.text:
                yield Chunk(draft=self._drafted(heading, ""))
                heading = ""
            if chunk.finish_reason not in (None, "cancelled"):
                yield from (Chunk(notice=line) for line in self._notes())
            yield chunk

    def _drafted(self, heading: str, text: str) -> str:
        """What goes on with the draft, below its heading where that is a new one."""
        if heading == self._heading:
            return text
        before, self._heading = "\n\n" if self._heading else "", heading
        return before + "\n\n".join(filter(None, [heading, text.lstrip()]))

    def _streamed(
        self, question: Message, params: GenerationParams
    ) -> Generator[Chunk, None, None]:
        """What the engine answers, up to its end."""
        with closing(
            self._engine.stream([*self._before, question], params, self._cancel)
        ) as stream:
            for chunk in stream:
                if chunk.usage:
                    self._made.totals.add(chunk.usage)
                yield chunk
                if chunk.finish_reason is not None:
                    return
        raise broken_off()

    def _notes(self) -> list[str]:
        """What is to be said of how the answer was made."""
        lines = []
        if self._made.parts > 1:
            line = tr(
                "longer than the window: made from {parts:,} parts in {levels:,} levels",
                parts=self._made.parts,
                levels=self._made.levels,
            )
            lines.append(line)
        if self._cut_answers:
            line = ntr(
                "the answer to one part was cut at {most:,} tokens",
                "{n:,} answers to parts were cut at {most:,} tokens",
                self._cut_answers,
                most=self._answer_tokens,
            )
            lines.append(line)
        if self._is_estimated:
            lines.append(tr("the model does not count tokens: the text was cut by an estimate"))
        return lines


def check_begun(growing: Growing) -> None:
    """Raise NoText for an answer that was cut before its first word."""
    if not "".join(growing.text).strip():
        line = tr("the answer was cut at the token limit before its first word")
        raise NoText(line, tr("--no-think keeps a model that thinks from that"))


def placed(exc: GlmError, where: str) -> GlmError:
    """An error that says where on the way it happened."""
    exc.message = tr(": ").join([where, exc.message])
    exc.args = (exc.message,)
    return exc
