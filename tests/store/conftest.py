"""A history in a temporary folder, and a turn as a session makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glmcli.store import Store, open_store
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


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "data" / "glm"


@pytest.fixture
def opened(home: Path) -> Iterator[Callable[[], Store]]:
    """Open the history, as often as you like; all are closed at the end."""
    stores: list[Store] = []

    def open_another() -> Store:
        stores.append(open_store(home))
        return stores[-1]

    yield open_another
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    """An open history."""
    return opened()
