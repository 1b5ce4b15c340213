"""What to type for a command that got too few or too many arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from glmcli.cli.hints.lines import typed_line
from glmcli.language import tr

ONE_TEXT = {"glm history search": 0, "glm history rename": 1}
"""Commands whose last argument is a text, and how many arguments stand before it."""
SHOWS = ("glm models list", "glm roles list")
"""Lists that take no name: another command shows one."""


def for_usage(context: Any, path: str, arguments: Sequence[str]) -> str:
    """The line that was meant, or else the whole form of the command."""
    if context is None:
        return ""
    words = [word for word in arguments[path.count(" ") :] if not word.startswith("-")]
    if path == "glm config show" and words:
        return tr("glm config get {name} prints one", name=words[0])
    if path in SHOWS and len(words) == 1:
        line = typed_line([path.replace(" list", " show"), *words])
        return tr("did you mean {near}?", near=line)
    if path == "glm history list" and len(words) == 1 and words[0].isdecimal():
        return tr("did you mean {near}?", near=f"{path} -n {int(words[0])}")
    before = ONE_TEXT.get(path, len(words))
    if words[before + 1 :]:
        line = typed_line([path, *words[:before], " ".join(words[before:])])
        return tr("did you mean {near}?", near=line)
    if path == "glm bench" and "--prompts" in arguments:
        return tr("several sizes are one word: --prompts 100,1000")
    if path == "glm bench" and words[1:]:
        return tr("one model a run: {line}", line=typed_line([path, words[0]]))
    return whole_form(context, path)


def whole_form(context: Any, path: str) -> str:
    """How a command is typed, and where the names that it takes are listed."""
    pieces = context.command.collect_usage_pieces(context)
    pieces = [re.sub("[{}]", "", piece) for piece in pieces if piece != "[OPTIONS]"]
    line = " ".join([path, *pieces]).replace("NAME [VALUE]", "NAME VALUE")
    hint = tr("write: {line}", line=line)
    group, _, command = path.rpartition(" ")
    is_named = {"NAME", "ID", "ID..."} & {piece.strip("[]") for piece in pieces}
    if is_named and group in ("glm models", "glm history", "glm roles") and command != "pull":
        return tr("; ").join([hint, tr("{line} shows them", line=f"{group} list")])
    return hint
