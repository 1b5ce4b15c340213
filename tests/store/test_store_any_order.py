"""Any sequence of commands: nothing said is lost."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from glmcli.store import open_store
from glmcli.types import Conversation, Message, Omission
from tests.support.turns import PARAMS, ask, texts


class Commands(RuleBasedStateMachine):
    """A chat whose user does whatever the commands allow, in any order."""

    words = st.sampled_from(["one", "two", "三", "x " * 50])

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.store = open_store(self.home)
        self.conversation = Conversation()
        self.said: set[tuple[str, str]] = set()
        self.created: list[str] = []
        """Ids are drawn at random: choices are made by age, so that a run can be repeated."""

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.home)

    @rule(text=words, reply=words, reason=st.sampled_from(["stop", "cancelled", "interrupted"]))
    def ask(self, text, reply, reason):
        ask(self.store, self.conversation, text, Message("assistant", reply, finish_reason=reason))
        self.remember(text, reply)

    @rule(text=words, reply=words)
    def die_while_answering(self, text, reply):
        turn = self.store.begin(self.conversation, text, params=PARAMS, model="m")
        self.store.progress(turn, reply, "")
        self.store.close()
        self.store = open_store(self.home)
        self.conversation = self.store.load(self.conversation.id)
        assert self.conversation.messages[-1].text == reply
        self.remember(text, reply)

    def remember(self, *said):
        self.said |= {(self.conversation.id, text) for text in said}
        if self.conversation.id not in ("", *self.created):
            self.created.append(self.conversation.id)

    @precondition(lambda self: self.conversation.messages)
    @rule()
    def undo(self):
        self.store.rewind(self.conversation, self.conversation.last_question())

    @precondition(lambda self: self.conversation.messages)
    @rule(data=st.data())
    def edit(self, data):
        count = len(self.conversation.messages)
        at = data.draw(st.integers(0, count // 2 - 1)) * 2
        self.store.rewind(self.conversation, at)
        self.ask("edited", "answer to the edited", "stop")

    @precondition(lambda self: self.conversation.id)
    @rule(data=st.data())
    def goto(self, data):
        nodes = self.store.tree(self.conversation)
        self.store.goto(self.conversation, data.draw(st.sampled_from(nodes)).id)

    @precondition(lambda self: self.conversation.id)
    @rule()
    def fork(self):
        said = {text for name, text in self.said if name == self.conversation.id}
        self.conversation = self.store.fork(self.conversation)
        self.remember(*texts(self.conversation))
        assert set(texts(self.conversation)) <= said

    @rule()
    def reset(self):
        self.conversation = Conversation()

    @precondition(lambda self: self.created)
    @rule(data=st.data())
    def resume(self, data):
        assert {item.id for item in self.store.list(None)} == set(self.created)
        self.conversation = self.store.load(data.draw(st.sampled_from(self.created)))

    @precondition(lambda self: self.conversation.id)
    @rule()
    def delete(self):
        self.store.delete(self.conversation.id)
        self.said = {(name, text) for name, text in self.said if name != self.conversation.id}
        self.created.remove(self.conversation.id)
        self.conversation = Conversation()

    @precondition(lambda self: self.conversation.messages)
    @rule(data=st.data())
    def summarise(self, data):
        most = len(self.conversation.messages) // 2
        count = data.draw(st.integers(1, most)) * 2
        if self.conversation.omitted is None or count > self.conversation.omitted.messages:
            self.conversation.omitted = Omission(count, f"the first {count}")
            self.store.summarise(self.conversation)

    @invariant()
    def stored_as_it_is_in_memory(self):
        if self.conversation.id:
            assert self.store.load(self.conversation.id) == self.conversation

    @invariant()
    def roles_alternate(self):
        roles = [message.role for message in self.conversation.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        sent = [message.role for message in self.conversation.prompt(Message("user", "next"))]
        assert sent == ["user", "assistant"] * (len(sent) // 2) + ["user"]

    @invariant()
    def a_summary_stands_for_what_it_was_made_of(self):
        if (omitted := self.conversation.omitted) is not None:
            assert omitted.summary == f"the first {omitted.messages}"
            assert omitted.messages <= len(self.conversation.messages)

    @invariant()
    def everything_said_is_still_there(self):
        for item in self.store.list(None):
            nodes = self.store.tree(Conversation(id=item.id))
            said = {text for name, text in self.said if name == item.id}
            assert {node.text for node in nodes} == said
            parents = {node.id: node.role for node in nodes}
            for node in nodes:
                before = parents[node.parent_id] if node.parent_id else "assistant"
                assert before != node.role


Commands.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestAnySequenceOfCommands = Commands.TestCase
