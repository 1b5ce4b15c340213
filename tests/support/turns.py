"""Turns of a conversation in a history, as a session makes them."""

from __future__ import annotations

from glmcli.store import Store
from glmcli.types import Conversation, GenerationParams, Message

PARAMS = GenerationParams(temperature=0.5, stop=("END",), seed=3)


def ask(store: Store, conversation: Conversation, text: str, reply: str | Message) -> None:
    """One finished turn, in the order in which a session does things."""
    turn = store.begin(conversation, text, params=PARAMS, model="echo:")
    message = Message("assistant", reply, finish_reason="stop") if isinstance(reply, str) else reply
    conversation.messages += [Message("user", text), message]
    store.complete(turn, message)


def texts(conversation: Conversation) -> list[str]:
    """What was said, in order."""
    return [message.text for message in conversation.messages]
