"""Whether what is to be attached can fit the window at all."""

from __future__ import annotations

from glmcli.chat.commands.table import Chat
from glmcli.conversation.window import way_with_text
from glmcli.engines.estimate import least_tokens
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.types import Message


def check_alone(chat: Chat, text: str) -> None:
    """Raise UsageError for files that alone surely exceed the window, if that is known."""
    session, window = chat.session, chat.session.engine.context_tokens
    size = session.tokens_of(text)
    size = least_tokens([Message("user", text)]) if size is None else size
    if window is None or size < window:
        return
    line = tr("this alone fills the window of {n:,} tokens: it was not attached", n=window)
    raise UsageError(line, way_with_text(is_set=window == chat.settings.window))
