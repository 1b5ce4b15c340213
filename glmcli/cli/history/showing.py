"""`glm history show`: one conversation, as it was shown when it was new."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from glmcli.language import ntr
from glmcli.paths import short_model
from glmcli.terminal.told import in_rows
from glmcli.terminal.visible import visible, visible_line

if TYPE_CHECKING:
    from glmcli.config import Settings
    from glmcli.types import Conversation


def show_rendered(conversation: Conversation, settings: Settings) -> None:
    """Show a conversation on a terminal."""
    from glmcli.chat.notes import write_note
    from glmcli.terminal.output import Output, read_aloud
    from glmcli.terminal.phrases import end_note, system_text
    from glmcli.terminal.quiet import Quiet
    from glmcli.terminal.replies.text import show_message

    out = Output(sys.stdout)
    read_aloud(settings.plain, out)
    quiet = Quiet(out)
    facts = (conversation.id, conversation.title, short_model(conversation.model))
    columns = out.size().columns
    out.write(in_rows(visible_line(" · ".join(filter(None, facts))), columns) + "\n\n")
    if conversation.system is not None:
        out.write(f"{visible(system_text(conversation.system))}\n\n")
    if others := conversation.other_branches():
        line = ntr(
            "{n} other branch is not shown: glm history export -f json {id} holds it",
            "{n} other branches are not shown: glm history export -f json {id} holds them",
            others,
            id=conversation.id,
        )
        out.write(f"{in_rows(line, columns)}\n\n")
    for message in conversation.messages:
        plain, width = settings.is_plain, settings.width
        show_message(out, quiet, message, plain=plain, columns=width)
        if message.role == "assistant":
            write_note(out, end_note(message) if message.finish_reason else "")
            out.write("\n")
