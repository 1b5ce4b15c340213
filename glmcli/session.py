"""One chat: the only place where engine, view and store meet.

Asks, keeps the conversation and the clock, and journals. Knows nothing of terminals or models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Protocol, TypeVar

from glmcli.conversation.window import is_full, left_out, questions, summarised, without_oldest
from glmcli.engines import Engine
from glmcli.errors import ConnectionLost, ContextFull, StoreError, UsageError
from glmcli.paths import checked
from glmcli.store import Store
from glmcli.types import (
    Chunk,
    Conversation,
    FinishReason,
    GenerationParams,
    Message,
    Omission,
    Progress,
    Usage,
)

T = TypeVar("T")
TEMPLATE_TOKENS = 64
"""More than a template puts around one message."""
HINT = "--context drop-oldest leaves the oldest turns out, --context summarise condenses them"
SHOWN_AFTER_STOP = 400
"""Characters that are still shown when they come after a stop: the words that were being made. What
waited behind a slow screen is more, and is only kept."""
JOURNAL_S = 1.0
"""How much of a growing reply may be missing from the store."""


class View(Protocol):
    """Shows one reply as it arrives."""

    def show(self, chunk: Chunk) -> None:
        """Show the next piece; called at least every 50 ms, with an empty chunk if need be."""
        ...

    def finish(self, reply: Message) -> None:
        """The reply is complete, by itself or cancelled."""
        ...

    def abandon(self) -> None:
        """The reply broke off: leave what was shown in good order."""
        ...


@dataclass(slots=True)
class Totals:
    """What a session used so far."""

    turns: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    decode_tokens: int = 0
    """Those after the first of each reply, in `decode_s`: waiting and loading left out."""
    decode_s: float = 0.0

    def add(self, usage: Usage, *, turns: int = 1) -> None:
        """Count one reply."""
        self.turns += turns
        self.prompt_tokens += usage.prompt_tokens or 0
        self.cached_tokens += usage.cached_tokens or 0
        self.completion_tokens += usage.completion_tokens or 0
        self.seconds += usage.total_s
        if usage.tokens_per_s is not None:
            self.decode_tokens += (usage.completion_tokens or 1) - 1
            self.decode_s += usage.total_s - (usage.first_token_s or 0.0)


@dataclass(slots=True)
class Growing:
    """A reply while it grows: what a Message will be made of, and the clock."""

    started: float = field(default_factory=time.monotonic)
    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tokens: int = 0
    first_token_s: float | None = None

    def add(self, chunk: Chunk) -> None:
        """Take in a chunk."""
        if (chunk.text or chunk.thinking) and self.first_token_s is None:
            self.first_token_s = time.monotonic() - self.started
        if chunk.text:
            self.text.append(chunk.text)
        if chunk.thinking:
            self.thinking.append(chunk.thinking)
        self.tokens += chunk.tokens

    def message(self, reason: FinishReason, usage: Usage | None = None) -> Message:
        """The reply as it is now."""
        counted = usage or Usage(completion_tokens=self.tokens or None)
        return Message(
            "assistant",
            "".join(self.text),
            thinking="".join(self.thinking),
            finish_reason=reason,
            usage=replace(
                counted,
                first_token_s=self.first_token_s,
                total_s=time.monotonic() - self.started,
            ),
        )


class Session:
    """A conversation that can be asked. Not for use by two threads."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        *,
        params: GenerationParams,
        model: str,
        conversation: Conversation | None = None,
    ) -> None:
        self.engine = engine
        self.store = store
        self.params = params
        self.model = model
        self.conversation = conversation or Conversation()
        self.totals = Totals()
        self.cancel = Event()
        """Set to stop what is being done; a new one for each turn, see `rearm`."""
        self._is_used = False
        self.store_failure: StoreError | None = None
        """Why the last change was not saved, if it was not. The chat goes on without it."""
        self.context = "stop"
        """What becomes of a prompt that does not fit: stop, drop-oldest or summarise."""
        self._has_told_failure = False
        self.notices: list[str] = []
        self._told = ""
        self.counted: tuple[Message, int | None] | None = None
        """The last message that another engine answered, and what this one takes up to there."""
        self._told_of: Omission | None = None

    def ask(self, question: str | Message, view: View, *, after: Message | None = None) -> Message:
        """Send a question and show the reply; the conversation holds both, come what may.

        A question is the user's text, or a message: the user's or a tool's result.

        With `after`, an earlier reply to it, the model goes on with that; only what is new
        is shown. A cancelled reply is returned. Raises GlmError; what had arrived is kept as
        interrupted.
        """
        if self._is_used:
            self.rearm()
        self._is_used = True
        asked = Message("user", question) if isinstance(question, str) else question
        checked(asked.text)
        turn = self._begin(asked)
        self.conversation.messages.append(asked)
        growing = Growing()
        if after is not None:
            growing.text, growing.thinking = [after.text], [after.thinking]
        reply: Message | None = None
        try:
            reply = self._stream_fitting(() if after is None else (after,), growing, view, turn)
        finally:
            kept = reply or growing.message("interrupted")
            if after is not None and (kept.text, kept.thinking) == (after.text, after.thinking):
                kept = after
            self.conversation.messages.append(kept)
            self._complete(turn, kept, is_new=kept is not after)
            if reply is None:
                view.abandon()
        if reply.usage:
            self.totals.add(reply.usage, turns=1 if after is None else 0)
        view.finish(reply)
        return reply

    def take_back(self) -> str:
        """Remove the last question and all after it; returns the question. Raises UsageError."""
        at = self.conversation.last_question()
        if at is None:
            raise UsageError("there is nothing to take back", "ask something first")
        text = self.conversation.messages[at].text
        self._try(lambda: self.store.rewind(self.conversation, at))
        return text

    def use_engine(self, engine: Engine) -> None:
        """Go on with another engine, whose window may hold what was left out; closes the old."""
        self.engine.close()
        self.engine = engine
        omitted = self.conversation.omitted
        if omitted is not None and not omitted.summary:
            self.conversation.omitted = None

    def reset(self) -> None:
        """Start a new conversation; the old one stays in the history."""
        self.conversation = Conversation(system=self.conversation.system)

    def stop(self) -> None:
        """Cancel the reply that is being streamed, or comes next. Safe in a signal handler."""
        self.cancel.set()

    def is_stopped(self) -> bool:
        """Whether `stop` was called for this turn."""
        return self.cancel.is_set()

    def rearm(self) -> None:
        """Forget an earlier stop: from now on `stop` is meant for the next turn.

        The event is a new one, since an engine may still be stopping because of the last. Without
        this call `ask` begins with it.
        """
        self.cancel, self._is_used = Event(), False

    def news(self) -> list[str]:
        """What the user has to be told since the last call: of the store, of what was not sent."""
        news, self.notices = self.notices, []
        if self.store.notice not in ("", self._told):
            self._told = self.store.notice
            news.append(self._told)
        failure = self.store_failure
        if failure is not None and not self._has_told_failure:
            news.append(f"not saved: {failure.message}")
        self._has_told_failure = True
        return news

    @property
    def used_tokens(self) -> int | None:
        """The size of the last turn, prompt and reply; None if unknown."""
        for message in reversed(self.conversation.messages):
            if self.counted is not None and message is self.counted[0]:
                return self.counted[1]
            if message.role == "assistant" and not message.text:
                continue  # neither it nor its question is sent again
            if message.usage and message.usage.total_tokens is not None:
                return message.usage.total_tokens
        return None

    def _stream_fitting(
        self, after: Sequence[Message], growing: Growing, view: View, turn: int | None
    ) -> Message:
        """Stream; leave out the oldest turns of a prompt that does not fit, if that is allowed."""
        window = self.engine.context_tokens
        prompt = (*self.conversation.prompt(), *after)
        # A token is a byte at least, so most prompts need not be counted to be known to fit.
        used = self.used_tokens
        at_most = None if used is None else used + len(prompt[-1].text.encode()) + TEMPLATE_TOKENS
        may_be_full = at_most is None or is_full(at_most, window)
        if self.context != "stop" and may_be_full and is_full(self.count(prompt), window):
            assert window is not None
            self._leave_out(window, after, view)
        while True:
            prompt = (*self.conversation.prompt(), *after)
            if self.cancel.is_set():
                return growing.message("cancelled")
            try:
                reply = self._stream(prompt, growing, view, turn)
            except ContextFull as exc:
                if self.context == "stop":
                    exc.hint = HINT if questions(self.conversation, None) else exc.hint
                    raise
                if not self._leave_out(exc.limit, after, view):
                    raise ContextFull(self._least(after) or exc.needed, exc.limit) from exc
            else:
                self._tell_what_was_sent()
                return reply

    def _leave_out(self, window: int, after: Sequence[Message], view: View) -> bool:
        """Leave out more of the oldest turns, or send a summary of them; whether that was done."""
        conversation, count = self.conversation, self.count
        not_sent = ""
        if self.context == "summarise":
            not_sent = "even a summary of the oldest turns does not fit beside this message"

            def write(request: Sequence[Message], room: int) -> str:
                nonlocal not_sent
                not_sent = "the oldest turns could not be summarised"
                return self._written(request, room, view)

            made = summarised(conversation, count, window, write, after=after)
            if made is not None:
                conversation.omitted = made
                self._try(lambda: self.store.summarise(conversation))
            if made is not None or self.cancel.is_set():
                return True
        shorter = without_oldest(conversation, count, window, after=after)
        if shorter is None:
            return False
        conversation.omitted = shorter
        self.notices += filter(None, [not_sent])
        return True

    def _least(self, after: Sequence[Message]) -> int | None:
        """The size of the prompt when all turns but the last are left out, if it is known."""
        last = self.conversation.last_question() or 0
        alone = replace(self.conversation, omitted=Omission(last)).prompt()
        return self.count((*alone, *after))

    def _written(self, request: Sequence[Message], room: int, view: View) -> str:
        """What the model replies to a request for a summary; "" if it did not end it."""
        params = replace(self.params, max_tokens=room, stop=())
        growing = Growing()
        try:
            with closing(self.engine.stream(request, params, self.cancel)) as stream:
                for chunk in stream:
                    growing.add(chunk)
                    progress = Progress("summarising", growing.tokens)
                    view.show(Chunk(progress=chunk.progress or progress))
                    if chunk.usage:
                        self.totals.add(chunk.usage, turns=0)
                    if chunk.finish_reason in ("stop", "length"):
                        return "".join(growing.text)
        except ContextFull:
            pass  # without exact counts nobody could know
        return ""

    def _tell_what_was_sent(self) -> None:
        """Say what of the conversation was not sent: a summary once, omissions every time."""
        omitted = self.conversation.omitted
        if omitted is None or (omitted.summary and omitted == self._told_of):
            return
        self._told_of = omitted
        how = "not sent"
        if omitted.summary:
            size = self.tokens_of(omitted.summary)
            how = f"sent as a summary{f' of {size:,} tokens' if size else ''}; /summary shows it"
        oldest = left_out(self.conversation)
        verb = "was" if oldest.endswith("turn") else "were"
        self.notices.append(f"the window is full: {oldest} {verb} {how}")

    def count(self, messages: Sequence[Message]) -> int | None:
        """The size of a prompt; None if it is not known, or not before `stop`."""
        return self.engine.count(messages, self.cancel)

    def tokens_of(self, text: str) -> int | None:
        """How much of the window a text takes as part of a message, if that is known."""
        size, empty = self.count([Message("user", text)]), self.count([Message("user", "")])
        return None if size is None or empty is None else size - empty

    def _stream(
        self, prompt: Sequence[Message], growing: Growing, view: View, turn: int | None
    ) -> Message:
        saved_at, has_grown, after_stop = time.monotonic(), False, 0
        with closing(self.engine.stream(prompt, self.params, self.cancel)) as stream:
            for chunk in stream:
                growing.add(chunk)
                if self.cancel.is_set():
                    after_stop += len(chunk.text) + len(chunk.thinking)
                is_shown = after_stop <= SHOWN_AFTER_STOP
                view.show(chunk if is_shown else replace(chunk, text="", thinking=""))
                if chunk.notice:
                    self.notices.append(chunk.notice)
                if chunk.finish_reason is not None:
                    return growing.message(chunk.finish_reason, chunk.usage)
                has_grown = has_grown or bool(chunk.text or chunk.thinking)
                # Ticks count too: a reply may pause for long after its first words.
                if has_grown and time.monotonic() - saved_at >= JOURNAL_S:
                    has_grown = self._journal(turn, growing) is False  # then again at the next tick
                    saved_at = saved_at if has_grown else time.monotonic()
        raise ConnectionLost("the reply stopped without an end", "/retry asks again")

    def _begin(self, asked: Message) -> int | None:
        return self._try(
            lambda: self.store.begin(self.conversation, asked, params=self.params, model=self.model)
        )

    def _journal(self, turn: int | None, growing: Growing) -> bool | None:
        """Whether what has arrived was stored; None if it cannot be."""
        if turn is None:
            return None
        text, thinking = "".join(growing.text), "".join(growing.thinking)
        return self._try(lambda: self.store.progress(turn, text, thinking))

    def _complete(self, turn: int | None, reply: Message, *, is_new: bool) -> None:
        if turn is None:
            return
        if is_new:
            self._try(lambda: self.store.complete(turn, reply))
        else:  # the branch that was gone on with ends like this already
            self._try(lambda: self.store.give_up(turn, self.conversation))

    def _try(self, action: Callable[[], T]) -> T | None:
        """Do something with the store; a failure is remembered and does not stop the chat."""
        try:
            result = action()
        except StoreError as exc:
            self.store_failure, self._has_told_failure = exc, False
            return None
        self.store_failure = None
        return result
