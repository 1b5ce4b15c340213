"""What to type for a command that there is not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glmcli.cli.hints.elsewhere import OTHER_COMMANDS
from glmcli.cli.hints.flags import in_the_chat, is_setting
from glmcli.cli.hints.lines import NEAR, SHOWN_LINE, filled, nearest_word, typed_line
from glmcli.language import tr
from glmcli.paths import is_file

SURELY = 0.8
"""How near a word must be to a command, where it may as well begin a question."""
_SHORTEST = 3
"""Letters of a command's start that say which one it is."""


def for_command(context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type for a command that there is not."""
    rest = [each for each in arguments if each != "--"][path.count(" ") :]
    word, names = rest[0], context.command.list_commands(context)
    if path == "glm" and word in ("set", "get", "unset") and rest[1:] and is_setting(rest[1]):
        return tr("did you mean {near}?", near=typed_line(["glm config", *rest]))
    if known := OTHER_COMMANDS.get(path, {}).get(word.lower()):
        return filled(tr(known), rest[1:])
    question = meant_as_question(rest) if path == "glm" else ""
    cutoff = SURELY if question and len(rest) > 2 else NEAR
    starts = [name for name in names if len(word) >= _SHORTEST and name.startswith(word)]
    near = starts[0] if len(starts) == 1 else nearest_word(word.lower(), names, cutoff)
    if near:
        return tr("did you mean {near}?", near=typed_line([path, near, *rest[1:]]))
    if not rest[2:] and (hint := in_the_chat(word, path)):
        return hint
    if path == "glm":
        return for_first_word(word, rest, question)
    if line := in_group(path, word, rest):
        return tr("did you mean {near}?", near=line)
    return tr("its commands are {names}", names=", ".join(names))


def in_group(path: str, word: str, rest: Sequence[str]) -> str:
    """The line that was meant where the command of a group was left out; "" if that is unclear."""
    if path == "glm config":
        if "=" in word and is_setting(word.partition("=")[0]):
            return typed_line([path, "set", *rest])
        return typed_line([path, "set" if rest[1:] else "get", *rest]) if is_setting(word) else ""
    if path == "glm history":
        is_id = re.fullmatch(r"[0-9a-z-]{4,8}", word) and re.search("[0-9]", word) and not rest[1:]
        return typed_line([path, "show" if is_id else "search", " ".join(rest)])
    return typed_line([path, "show", word]) if not rest[1:] else ""


def for_first_word(word: str, rest: Sequence[str], question: str) -> str:
    """What to type where neither a command nor a slip for one comes first."""
    if re.fullmatch(r"/[a-z]+", word):
        return tr("/commands are typed inside glm chat; glm --help lists those of the shell")
    if len(rest) == 1 and is_file(Path(word)):
        return tr('a file goes with a question: glm ask "QUESTION" -a {name}', name=word)
    if word == "-" or word.startswith("@"):
        return tr("a question goes behind ask: {line}", line=typed_line(["glm", "ask", *rest]))
    is_word = word.isidentifier()
    if not is_word and re.fullmatch(r"[\w.~-]*[/:][\w./:@~-]*", word) and not rest[1:]:
        return tr("a model goes behind -m: {line}", line=typed_line(["glm", "chat", "-m", word]))
    if question:
        return tr("a question goes behind ask: {line}", line=f"glm ask {question}")
    if not rest[1:]:
        line = typed_line(["glm", "ask", word])
        return tr("glm --help lists the commands; a question goes behind ask: {line}", line=line)
    return ""


def meant_as_question(words: Sequence[str]) -> str:
    """What was typed in place of a command, quoted for the shell; "" if it was no question."""
    at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    text = " ".join(" ".join(words[:at]).split())
    if " " not in text or (words[at:] and " " not in words[0]):
        return ""
    text = shlex.quote(text if len(text) <= SHOWN_LINE else f"{text[:SHOWN_LINE]}…")
    return typed_line([text, *words[at:]])
