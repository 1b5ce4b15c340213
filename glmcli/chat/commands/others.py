"""Words that other chats take as commands, and the command here that does the same.

Knows nothing of how these work.
"""

from __future__ import annotations

from glmcli.language import later, tr

LEAVE = later("/exit leaves")
BEGIN = later("/reset starts a new conversation")
LIST = later("/history lists the conversations, or those that hold WORDS")
STOP = later("Ctrl-C stops a reply, /exit leaves")
WORDS = {
    "exit": LEAVE,
    "quit": LEAVE,
    "退出": LEAVE,
    "clear": BEGIN,
    "清空": BEGIN,
    "stop": STOP,
    "停止": STOP,
}
"""Words that are commands without a slash. They are never sent."""
SLASH_WORDS = {**WORDS, "bye": LEAVE, "new": BEGIN, "list": LIST, "search": LIST}
"""Words that are commands behind a slash; without it the last four are text."""


def command_for(text: str) -> str:
    """How to do here what a word without a slash does elsewhere; "" for all other texts."""
    return sentence(WORDS.get(text.strip().lower()))


def slash_command_for(word: str) -> str:
    """The same for a word behind a slash."""
    return sentence(SLASH_WORDS.get(word.lower()))


def sentence(english: str | None) -> str:
    """A sentence of the tables in the user's language; "" if there is none."""
    return tr(english) if english else ""
