"""Turns of a conversation in a history, as a session makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from glmcli.store import Store
from glmcli.store.database import Busy
from glmcli.types import Conversation, GenerationParams, Message

T = TypeVar("T")

PARAMS = GenerationParams(temperature=0.5, stop=("END",), seed=3)


def ask(store: Store, conversation: Conversation, text: str, reply: str | Message) -> None:
    """One finished turn, in the order in which a session does things."""
    turn = once_free(lambda: store.begin(conversation, text, params=PARAMS, model="echo:"))
    message = Message("assistant", reply, finish_reason="stop") if isinstance(reply, str) else reply
    conversation.messages += [Message("user", text), message]
    once_free(lambda: store.complete(turn, message))


def once_free(step: Callable[[], T]) -> T:
    """Do a step again while another process keeps the history busy, as a loaded machine may."""
    while True:
        try:
            return step()
        except Busy:
            continue


def texts(conversation: Conversation) -> list[str]:
    """What was said, in order."""
    return [message.text for message in conversation.messages]
