"""What was said in a chat that commands act on."""

from __future__ import annotations


def texts(chat):
    return [message.text for message in chat.session.conversation.messages]
