"""What a word is on this machine: the id of a conversation, a model, a role, a setting.

Only hints ask: nothing is made, repaired or fetched for it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress

from glmcli.config import own_home, setting_fields
from glmcli.errors import GlmError
from glmcli.language import tr

_ID = re.compile(r"[0-9a-z]{4,8}")


def group_of(word: str) -> str:
    """The group of commands that a word is a name of; "" if it is none that is known here."""
    from glmcli.config.known import BUILT_IN_MODEL
    from glmcli.conversation.roles import role_names

    if word.partition("=")[0] in setting_fields():
        return "config"
    with suppress(GlmError):
        if word in role_names():
            return "roles"
    if is_conversation(word):
        return "history"
    return "models" if "/" in word or word == BUILT_IN_MODEL else ""


def names_model(word: str) -> bool:
    """Whether a word can hardly be anything but a model: the built-in one, `engine:name`, a hub's
    id with a digit in its name.
    """
    from glmcli.config.known import BUILT_IN_MODEL
    from glmcli.engines import ENGINES

    engine, colon, _ = word.partition(":")
    is_id = re.fullmatch(r"[A-Za-z][\w.-]+/(?=\D*[0-9])[A-Za-z][\w.-]+", word)
    return word == BUILT_IN_MODEL or bool(
        is_id or (colon and " " not in word and engine in ENGINES)
    )


def has_input() -> bool:
    """Whether stdin is a pipe or a file."""
    with suppress(OSError):
        mode = os.fstat(0).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
    return False


def without_id(lines: str, words: Sequence[str]) -> str:
    """Of two lines of a table the one that takes no ID, where none of the words can be one."""
    others = [each for each in lines.split("; ") if not each.endswith(" ID")]
    return others[0] if words and len(others) == 1 and not any(map(_ID.fullmatch, words)) else lines


def is_conversation(word: str) -> bool:
    """Whether a word is an id in the history, deleted ones included, or the start of one."""
    if not _ID.fullmatch(word):
        return False
    from glmcli.store.glance import newest

    with suppress(GlmError):
        home = own_home()
        return any(len(newest(home, word, 2, deleted=deleted)) == 1 for deleted in (False, True))
    return False


def newest_conversation() -> str:
    """The id of the newest conversation; "" if there is none."""
    from glmcli.store.glance import newest

    with suppress(GlmError):
        return next((each.id for each in newest(own_home(), limit=1)), "")
    return ""


def looks_like_id(word: str) -> bool:
    """Whether a word is the id of a conversation, or can hardly be anything else."""
    return is_conversation(word) or bool(_ID.fullmatch(word) and re.search("[0-9]", word))


def in_the_chat(word: str, behind: Sequence[str] = ()) -> str:
    """What to do for a word that is a command of the chat; "" for all others."""
    from glmcli.chat.commands import line_for

    line = line_for(word, " ".join(behind), near=False) if word not in ("help", "?") else ""
    return tr("{line} is typed inside glm chat", line=line) if line.startswith("/") else ""
