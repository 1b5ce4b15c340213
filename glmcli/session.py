"""One chat: the only place where engine, view and store meet.

Asks, keeps the conversation and the clock, and journals. Its state is changed by its
methods alone. Knows nothing of terminals or models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from threading import Event
from typing import Protocol

from glmcli.conversation.window import (
    at_most,
    filled_by,
    is_full,
    omission_notice,
    summarise,
    way_out,
    without_oldest,
)
from glmcli.engines import Engine
from glmcli.engines.reply import THOUGHT, Growing, broken_off
from glmcli.errors import ContextFull, ReplyTooLong, UsageError
from glmcli.harmless import as_told
from glmcli.language import tr
from glmcli.paths import check_prompt
from glmcli.store import Store
from glmcli.store.journal import Journal
from glmcli.types import (
    Chunk,
    Conversation,
    GenerationParams,
    Message,
    Omission,
    Progress,
    Totals,
    is_answer,
)

LEAST_WINDOW = 2048
"""What a window is taken for of which only is known that it is full."""
SHOWN_AFTER_STOP = 400
"""Characters that are still shown after a stop: the words that were on their way. Text that waited
behind a slow screen is longer: it is kept, not shown."""
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


class Session:
    """A conversation that can be asked, by one thread. Only methods change its attributes."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        *,
        params: GenerationParams,
        model: str,
        conversation: Conversation | None = None,
        context: str = "stop",
        once: bool = False,
        commands: bool = False,
        window: int | None = None,
    ) -> None:
        """`once`: there is only one question. `context` as for `leave_out`, `window` if set."""
        self.engine = engine
        self.store = store
        self.params = params
        self.model = model
        """The model as it is stored: a name that is good in any folder."""
        self.conversation = conversation or Conversation()
        self.commands = commands
        """Whether the user can type /commands, so that words for them may name some."""
        self.totals = Totals()
        self.cancel = Event()
        """Set to stop what is being done; a new one for each turn, see `rearm`."""
        self.context = "stop"
        """What becomes of a prompt that does not fit: stop, drop-oldest or summarise."""
        self._once = once
        self._window = window
        self.leave_out(context)
        self.journal = Journal(store)
        """What was not saved, and why."""
        self._is_used = False
        self._notices: list[str] = []
        self._known: tuple[Message, object, int | None] | None = None
        """A reply, how the prompt to it was made, and the size of both if that was counted."""
        self._told_of: Omission | None = None
        self._told_of_thinking = False

    @property
    def is_saved(self) -> bool:
        """Whether the last change was saved. The chat goes on without."""
        return self.journal.is_saved

    def use(self, engine: Engine, model: str) -> None:
        """Go on with another engine, whose window may hold more turns; closes the old one."""
        self.engine.close()
        self.engine, self.model = engine, model
        omitted = self.conversation.omitted
        if omitted is not None and not omitted.summary:
            self.conversation.omitted = None

    def wrap(self, wrapped: Callable[[Engine], Engine]) -> None:
        """Ask the engine through another one from now on."""
        self.engine = wrapped(self.engine)

    def recount(self) -> int | None:
        """The conversation's size for a new engine, if known; until a reply it is `used_tokens`."""
        prompt, last = self.conversation.prompt(), self.conversation.last_reply()
        size = self.count(prompt) if prompt else None
        if last is not None:
            self._known = (last, self._setting(), size)
        return size

    def resume(self, conversation: Conversation, params: GenerationParams | None = None) -> None:
        """Go on with another conversation, and with its settings if they are given."""
        self.journal.forget()
        self.conversation = conversation
        self.params = params or self.params

    def reset(self) -> None:
        """Start a new conversation; the old one stays in the history."""
        self.journal.forget()
        self.conversation = Conversation(system=self.conversation.system)

    def extend(self, earlier: Conversation) -> None:
        """Add the messages of another conversation, and its system prompt if this one has none."""
        if self.conversation.system is None:
            self.conversation.system = earlier.system
        self.conversation.messages += earlier.messages

    def set_system(self, system: str | None) -> None:
        """Send another system prompt from now on; "" is an empty one, None is none."""
        self.conversation.system = system

    def rename(self, title: str) -> None:
        """Give the conversation another title, stored or not. Raises StoreError."""
        if self.conversation.id:
            self.store.rename(self.conversation.id, title)
        self.conversation.title = title

    def set_param(self, name: str, value: object) -> None:
        """Sample with another value from now on. Raises KeyError for an unknown name."""
        self.params = self.params.merged({name: value})

    @contextmanager
    def sampling(self, changes: Mapping[str, object]) -> Iterator[None]:
        """Sample with other values meanwhile. Raises KeyError for an unknown name."""
        before, self.params = self.params, self.params.merged(dict(changes))
        try:
            yield
        finally:
            self.params = before

    def leave_out(self, context: str) -> None:
        """Choose what becomes of a prompt that does not fit: stop, drop-oldest, summarise or auto.

        In a chat auto leaves the oldest turns out; a single question is refused.
        """
        auto = "stop" if self._once else "drop-oldest"
        self.context = auto if context == "auto" else context

    def send_all(self) -> None:
        """Send the whole conversation again, as long as it fits. Raises StoreError."""
        self.conversation.omitted = None
        self.store.summarise(self.conversation)

    def ask(self, question: str | Message, view: View, *, after: Message | None = None) -> Message:
        """Send a question and show the reply; the conversation holds both, come what may.

        The question is the user's text, or a message: the user's or a tool's result. With `after`,
        an earlier reply to it, the model goes on with that, and only the new text is shown. A
        cancelled reply is returned. Raises GlmError; then the reply so far is kept as interrupted.
        """
        if self._is_used:
            self.rearm()
        self._is_used = True
        asked = Message("user", question) if isinstance(question, str) else question
        check_prompt(asked.text)
        conversation = self.conversation
        if not (self._once and conversation.id):  # an ask may go on with a chat, which stays one
            conversation.kind = "ask" if self._once else "chat"
        before = conversation.model, conversation.params
        self.journal.begin(conversation, asked, params=self.params, model=self.model)
        conversation.messages.append(asked)
        growing = Growing()
        if after is not None:
            growing.text, growing.thinking = [after.text], [after.thinking]
        reply: Message | None = None
        try:
            reply = self._stream_fitting(() if after is None else (after,), growing, view)
        finally:
            kept = growing.kept(reply)
            if after is not None and (kept.text, kept.thinking) == (after.text, after.thinking):
                kept = after
            conversation.messages.append(kept)
            if kept is after or not is_answer(kept):
                conversation.model, conversation.params = before  # it goes on with what answered
            if kept is after:
                self.journal.give_up(conversation)
            else:
                self.journal.complete(kept)
            if self._once:
                self.journal.save_again(conversation)
            if reply is None:
                view.abandon()
        if reply.usage:
            self.totals.add(reply.usage, turns=1 if after is None else 0)
            self._known = (kept, self._setting(), reply.usage.total_tokens)
        view.finish(reply)
        return reply

    def take_back(self) -> str:
        """Remove the last question and all after it; returns the question. Raises UsageError."""
        at = self.conversation.last_question()
        if at is None:
            raise UsageError(tr("there is nothing to take back"), tr("ask something first"))
        text = self.conversation.messages[at].text
        self.journal.attempt(lambda: self.store.rewind(self.conversation, at))
        return text

    def stop(self) -> None:
        """Cancel the reply that is being streamed, or comes next. Safe in a signal handler."""
        self.cancel.set()

    def is_stopped(self) -> bool:
        """Whether `stop` was called for this turn."""
        return self.cancel.is_set()

    def rearm(self) -> None:
        """Forget an earlier stop. The event is a new one: an engine may still be stopping."""
        self.cancel, self._is_used = Event(), False

    def news(self) -> list[str]:
        """Harmless lines for the user since the last call: of the store, of turns not sent."""
        news, self._notices = self._notices, []
        return [as_told(line) for line in (*news, *self.journal.news())]

    @property
    def used_tokens(self) -> int | None:
        """The size of the last turn that is sent again, prompt and reply; None if unknown."""
        last = self.conversation.last_reply()
        if self._known is not None and last is self._known[0]:
            return self._known[2]
        is_ours = self.conversation.model == self.model
        return last.usage.total_tokens if last and last.usage and is_ours else None

    def _setting(self) -> object:
        """What decides the size of a prompt beside its messages."""
        return self.engine, self.conversation.system, self.conversation.omitted

    def _stream_fitting(self, after: Sequence[Message], growing: Growing, view: View) -> Message:
        """Stream; leave out the oldest turns of a prompt that does not fit, if that is allowed."""
        window = self.engine.context_tokens
        prompt = (*self.conversation.prompt(), *after)
        known, setting, size = self._known or (None, None, None)
        most = at_most(prompt, known, size) if setting == self._setting() else None
        # Most prompts need not be counted to be known to fit.
        may_be_full = most is None or is_full(most, window)
        if self.context != "stop" and may_be_full and is_full(self.count(prompt), window):
            assert window is not None
            self._leave_out(window, after, view)
        while True:
            prompt = (*self.conversation.prompt(), *after)
            if self.cancel.is_set():
                return growing.message("cancelled")
            try:
                reply = self._stream(prompt, growing, view)
            except ContextFull as exc:
                if self.context == "stop":
                    raise self._refusal(exc, exc.needed) from exc
                if not self._leave_out(exc.limit or window or LEAST_WINDOW, after, view):
                    raise self._refusal(exc, self._least(after) or exc.needed) from exc
            else:
                self._tell_what_was_sent()
                return reply

    def _refusal(self, exc: ContextFull, needed: int | None) -> ContextFull:
        """The error for a prompt of this size that an engine refused: it says what helps here."""
        is_set = exc.limit is not None and exc.limit == self._window
        at_least = exc.at_least and needed == exc.needed
        full = ContextFull(needed, exc.limit, exc.output, is_set=is_set, at_least=at_least)
        if exc.output is None:
            filler = filled_by(self.conversation, self.count, exc.limit)
            said = {"commands": self.commands, "once": self._once, "is_set": is_set}
            full.hint = way_out(self.conversation, self.context, filler, **said)
        return full

    def _leave_out(self, window: int, after: Sequence[Message], view: View) -> bool:
        """Leave out more of the oldest turns, or send a summary of them; whether that was done."""
        conversation, count = self.conversation, self.count
        not_sent = ""
        if self.context == "summarise":
            not_sent = tr("even a summary of the oldest turns does not fit beside this message")

            def write(request: Sequence[Message], room: int) -> str:
                nonlocal not_sent
                not_sent = tr("the oldest turns could not be summarised")
                return self._write_summary(request, room, view)

            made = summarise(conversation, count, window, write, after=after)
            if made is not None:
                conversation.omitted = made
                self.journal.attempt(lambda: self.store.summarise(conversation))
            if made is not None or self.cancel.is_set():
                return True
        shorter = without_oldest(conversation, count, window, after=after)
        if shorter is None:
            return False
        conversation.omitted = shorter
        self._notices += filter(None, [not_sent])
        return True

    def _least(self, after: Sequence[Message]) -> int | None:
        """The size of the prompt when all turns but the last are left out, if it is known."""
        last = self.conversation.last_question() or 0
        alone = replace(self.conversation, omitted=Omission(last)).prompt()
        return self.count((*alone, *after))

    def _write_summary(self, request: Sequence[Message], room: int, view: View) -> str:
        """The model's reply to a request for a summary; "" if it did not end it."""
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
                    if chunk.finish_reason in ("stop", "length", "time"):
                        return "".join(growing.text)
        except (ContextFull, ReplyTooLong):
            pass  # without exact counts this cannot be known in advance
        return ""

    def _tell_what_was_sent(self) -> None:
        """Say which turns were not sent: those of a summary once, others every time."""
        omitted = self.conversation.omitted
        if omitted is None or (omitted.summary and omitted == self._told_of):
            return
        self._told_of = omitted
        size = self.tokens_of(omitted.summary) if omitted.summary else None
        notice = omission_notice(self.conversation, size, commands=self.commands)
        self._notices.append(notice)

    def count(self, messages: Sequence[Message]) -> int | None:
        """The size of a prompt; None if it is not known, or not before `stop`."""
        return self.engine.count(messages, self.cancel, self.params.think)

    def tokens_of(self, text: str) -> int | None:
        """How much of the window a text takes as part of a message, if that is known."""
        size, empty = self.count([Message("user", text)]), self.count([Message("user", "")])
        return None if size is None or empty is None else size - empty

    def _stream(self, prompt: Sequence[Message], growing: Growing, view: View) -> Message:
        saved_at, has_grown, after_stop = time.monotonic(), False, 0
        with closing(self.engine.stream(prompt, self.params, self.cancel)) as stream:
            for chunk in stream:
                growing.add(chunk)
                if self.cancel.is_set():
                    after_stop += len(chunk.text) + len(chunk.thinking)
                is_shown = after_stop <= SHOWN_AFTER_STOP
                view.show(chunk if is_shown else replace(chunk, text="", thinking=""))
                if chunk.notice:
                    self._notices.append(chunk.notice)
                if chunk.was_thinking and not self._told_of_thinking:
                    self._told_of_thinking = True
                    self._notices.append(tr(THOUGHT))
                if chunk.finish_reason is not None:
                    return growing.message(chunk.finish_reason, chunk.usage)
                has_grown = has_grown or bool(chunk.text or chunk.thinking or chunk.draft)
                # Ticks count too: a reply may pause for long after its first words.
                if has_grown and time.monotonic() - saved_at >= JOURNAL_S:
                    has_grown = not self.journal.keep(*growing.so_far())  # then at the next tick
                    saved_at = saved_at if has_grown else time.monotonic()
        raise broken_off()
