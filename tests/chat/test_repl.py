"""What is said on leaving a chat."""

from __future__ import annotations

import pytest

from glmcli.chat.repl import way_back
from glmcli.engines.echo import EchoEngine
from glmcli.session import Session
from glmcli.store import open_store
from glmcli.types import GenerationParams
from tests.support.shown import Shown


@pytest.mark.parametrize(
    ("purge", "said"),
    [
        (None, "to come back: glm chat -c, or glm chat --resume {id}"),
        (True, "the conversation {id} was deleted elsewhere for good"),
        (False, "the conversation {id} was deleted; glm history undelete {id} brings it back"),
    ],
)
def test_the_way_back_is_one_that_works(tmp_path, purge, said):
    store = open_store(tmp_path / "home")
    chat = Session(EchoEngine(), store, params=GenerationParams(), model="echo:")
    chat.ask("hi", Shown())
    name = chat.conversation.id
    elsewhere = open_store(tmp_path / "home")
    if purge is not None:
        (elsewhere.purge if purge else elsewhere.delete)(name)
    assert way_back(chat) == said.format(id=name)
