"""Whatever a user does in whatever order: what is sent is well formed, and nothing said is lost."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from glmcli.chat.commands import Chat, run_command
from glmcli.config import Settings
from glmcli.conversation.window import REQUEST
from glmcli.engines.echo import EchoEngine
from glmcli.errors import ContextFull, EngineError, GlmError
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.terminal.replies.text import BaseView
from glmcli.types import Chunk, Conversation, GenerationParams

WINDOW = 150
NUMBER = re.compile(r"\d+")
LINES = [
    *["/undo", "/retry", "/retry temperature=0.2", "/continue", "/fork", "/reset", "/resume"],
    *["/tree", "/tokens", "/summary", "/summary off", "/system be brief", "/system off"],
]
TEXTS = st.integers(1, 50).map(lambda count: "word " * count)


class Strict(EchoEngine):
    """Refuses malformed conversations, ends as it was told to, sums up by naming questions."""

    def __init__(self):
        super().__init__(context_tokens=WINDOW)
        self.end = "stop"

    def stream(self, messages, params, cancel):
        roles = [item.role for item in messages if item.role != "system"]
        pairs = ["user", "assistant"] * len(roles)
        assert roles == pairs[: len(roles)], roles
        assert all(item.text for item in messages)
        assert "system" not in [item.role for item in messages[1:]]
        needed = self.count(messages)
        if needed >= WINDOW:
            raise ContextFull(needed, WINDOW)
        if messages[-1].text == REQUEST:
            yield Chunk(" ".join(NUMBER.findall(" ".join(item.text for item in messages))))
            yield Chunk(finish_reason="stop")
            return
        if self.end == "fault at once":
            raise EngineError("broken", "mend it")
        yield Chunk("a reply", tokens=2)
        if self.end == "fault":
            raise EngineError("broken", "mend it")
        yield Chunk(finish_reason="cancelled" if self.end == "cancelled" else "stop")


class Quiet(Chat):
    def ask(self, text, *, after=None):
        self.session.ask(text, BaseView(), after=after)

    def edit(self, text):
        return f"{text} edited"

    def show(self, message, *, with_end=False):
        pass


class Sequences(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        store = open_store(self.home)
        self.engine = Strict()
        self.chat = Quiet(self.session(store), Settings())
        self.asked = 0
        self.ids: set[str] = set()

    def session(self, store, *, context="summarise"):
        params = GenerationParams()
        return Session(self.engine, store, params=params, model="echo:", context=context)

    def teardown(self):
        self.chat.session.store.close()
        shutil.rmtree(self.home)

    @property
    def conversation(self):
        return self.chat.session.conversation

    @rule(text=TEXTS, end=st.sampled_from(["stop", "cancelled", "fault", "fault at once"]))
    def ask(self, text, end):
        self.engine.end = end
        self.asked += 1
        question = f"{self.asked} {text}"
        with suppress(EngineError, ContextFull):
            self.chat.ask(question)
        self.engine.end = "stop"
        assert self.conversation.messages[-2].text == question

    @rule(turns=st.integers(2, 5))
    def fill_the_window(self, turns):
        for _ in range(turns):
            self.ask("word " * 45, "stop")

    @rule(turns=st.integers(2, 4))
    def undo(self, turns):
        for _ in range(turns):
            self.command("/undo")

    @rule(policy=st.sampled_from(["stop", "drop-oldest", "summarise"]))
    def choose(self, policy):
        run_command(self.chat, f"/set context {policy}")

    @rule(line=st.sampled_from(LINES))
    def command(self, line):
        with suppress(GlmError):
            run_command(self.chat, line)

    @precondition(lambda self: self.conversation.messages)
    @rule(data=st.data(), name=st.sampled_from(["/edit", "/goto"]))
    def numbered(self, data, name):
        with suppress(GlmError):
            run_command(self.chat, f"{name} {data.draw(st.integers(1, 4))}")

    @rule()
    def start_again(self):
        before = self.chat.session
        before.store.close()
        after = self.session(open_store(self.home), context=before.context)
        known = before.conversation
        after.resume(after.store.load(known.id) if known.id else known, before.params)
        self.chat.session = after

    @invariant()
    def roles_alternate(self):
        roles = [message.role for message in self.conversation.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)

    @invariant()
    def what_is_omitted_is_there_and_a_summary_is_of_nothing_else(self):
        if (omitted := self.conversation.omitted) is not None:
            assert omitted.messages <= len(self.conversation.messages)
            first = self.conversation.messages[: omitted.messages]
            numbers = NUMBER.findall(" ".join(message.text for message in first))
            assert set(omitted.summary.split()) <= set(numbers)

    @invariant()
    def every_question_is_stored(self):
        store, numbers = self.chat.session.store, set()
        self.ids.add(self.conversation.id)
        for name in self.ids:
            nodes = store.tree(Conversation(id=name))
            numbers |= {int(node.text.split()[0]) for node in nodes if node.role == "user"}
        assert numbers == set(range(1, self.asked + 1))

    @invariant()
    def stored_as_it_is_in_memory(self):
        if self.conversation.id:
            stored = self.chat.session.store.load(self.conversation.id)
            assert stored.messages == self.conversation.messages
            omitted = self.conversation.omitted
            if omitted is not None and omitted.summary:
                assert stored.omitted == omitted


Sequences.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestAnySequenceOfCommands = Sequences.TestCase
