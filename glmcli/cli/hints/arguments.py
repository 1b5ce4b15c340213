"""What to type where an argument is none of what its command takes: `all`, a file, a number."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from glmcli.cli.hints.corrected import meant_line
from glmcli.cli.hints.elsewhere import BACK, EVERY_ONE
from glmcli.cli.hints.flags import is_no_text
from glmcli.cli.hints.known import is_conversation
from glmcli.cli.hints.lines import named_command, typed_line
from glmcli.cli.hints.usage import plain_words
from glmcli.language import tr

FOR_ALL = {
    "show": "glm history list --all",
    "export": "glm history export",
    "undelete": BACK,
}
"""Command of the history -> what to type for all conversations."""


def for_argument(arguments: Sequence[str]) -> str:
    """What to type in place of an argument of `glm history`, `glm bench` or `glm stop`; "" if that
    is unclear.
    """
    if arguments[:1] == ["history"]:
        return for_ids(arguments)
    words, _ = plain_words(named_command(arguments), arguments[1:])
    if arguments[:1] == ["stop"] and words == ["all"]:
        return tr("did you mean {near}?", near="glm stop --all")
    if arguments[:1] == ["bench"] and "--prompts" in arguments and words[-1:]:
        line = meant_line(arguments)
        is_other = line != typed_line(["glm", *arguments])
        return tr("did you mean {near}?", near=line) if is_other else ""
    return ""


def for_ids(arguments: Sequence[str]) -> str:
    """What to type for `all`, or for a file, where `glm history` takes an id; "" for others."""
    name = arguments[1] if arguments[1:] else ""
    words, options = plain_words(named_command(arguments), arguments[2:])
    if name in FOR_ALL and len(words) == 1 and words[0].lower() in EVERY_ONE:
        return tr(FOR_ALL[name])
    *ids, last = words or [""]
    is_file_name = (is_no_text(last) and not last.isdecimal()) or (
        bool(ids) and all(map(is_conversation, ids))
    )
    takes_file = name == "export" or (name == "show" and bool(ids))
    if not is_file_name or is_conversation(last) or not takes_file:
        return ""
    line = typed_line(["glm history", name, *ids, *options])
    return tr("write: {line}", line=f"{line} > {shlex.quote(last)}")
