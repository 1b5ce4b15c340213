"""Which view a reply gets on a terminal.

Knows nothing of how a view paints.
"""

from __future__ import annotations

from glmcli.conversation.attachments import headings_only
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import question_rows
from glmcli.terminal.quiet import Quiet
from glmcli.terminal.replies.text import BaseView, PlainView
from glmcli.types import Chunk, Message


def terminal_view(
    out: Output, quiet: Quiet, *, thinking: str, plain: bool, after: str = ""
) -> BaseView:
    """Live Markdown, or plain text if wanted or needed; `after` is the reply that goes on."""
    if plain or not out.is_live:
        return PlainView(out, quiet, thinking=thinking)
    from glmcli.terminal.replies.live import LiveView

    return LiveView(out, quiet, thinking=thinking, after=after)


def show_message(out: Output, quiet: Quiet, message: Message, *, plain: bool) -> None:
    """Show a message that is there already, as it was shown when it arrived."""
    if message.role == "user":
        out.write(question_rows(headings_only(message.text)))
    else:
        view = terminal_view(out, quiet, thinking="hide", plain=plain)
        view.show(Chunk(message.text))
        view.abandon()
