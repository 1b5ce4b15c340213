"""What to type where a line lacks what only its user knows, as the value of an option."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import Any

from glmcli.cli.hints.known import is_conversation
from glmcli.cli.hints.line import typed_line
from glmcli.cli.hints.taking import TYPED, value_flags
from glmcli.cli.hints.tree import role_list, whole_command
from glmcli.config import setting_fields
from glmcli.language import tr


def for_kind(exc: Exception) -> str:
    """What to type for a kind of mistake where no whole line is meant; "" if that is unclear."""
    words, param = getattr(exc, "message", "") or "", getattr(exc, "param", None)
    if "requires an argument" in words:
        command = TYPED[-1][0] if TYPED else whole_command()
        return for_value(str(getattr(exc, "option_name", "")), command)
    if "is not one of" in words:
        names = re.findall(r"'(.+?)'", words.partition("is not one of")[2])
        option = next(iter(getattr(param, "opts", ())), "")
        if option and len(names) == 1:
            return tr("write {option} {word}", option=option, word=names[0])
        return tr("choose one of these")
    if param is not None and ("not a valid int" in words or "not in the range" in words):
        low = getattr(param.type, "min", None)
        line = tr("write {option} N: {what}", option=param.opts[-1], what=param.help)
        more = [tr("at least {low}", low=low)] if low is not None else []
        return tr(", ").join([line, *more])
    return ""


def for_value(name: str, command: Any) -> str:
    """What an option of a command wants that came without its value."""
    option = next((each for each in command.params if name in each.opts), None)
    if option is None:
        return ""
    item, value = setting_fields().get(option.name), "VALUE"
    what = str(option.help).removeprefix("--each: ")
    if item is not None:
        what = ", ".join(item.metadata.get("choices", ())) or tr(item.metadata["help"])
    else:
        words = getattr(option.type, "choices", None) or [option.metavar or value]
        value = "|".join(map(str, words))
    if option.name == "role":
        what = tr("one of: {names}", names=", ".join(role_list()))
    return tr("write {option} {value}: {what}", option=name, value=value, what=what)


def taken_prompt() -> str:
    """What to type where an option has taken the only words for its value; "" if none has."""
    command, words = TYPED[-1] if TYPED else (None, ())
    takers = value_flags(command) if words else {}
    for word in words:
        if word.startswith("--resume=") and word != "--resume=":
            return of_resume(word.partition("=")[2])
    for option, value in pairwise(words):
        if option == "--resume":
            return of_resume(value)
        if option in takers and option in ("--stop", "--system", "-s"):
            line = f"glm ask {option} TEXT {shlex.quote(value)}"
            return tr(
                "{value} went to {option}; behind that goes the question: {line}",
                value=value,
                option=option,
                line=line,
            )
    return ""


def of_resume(value: str) -> str:
    """What to type where `--resume` has taken the only word for an id."""
    if is_conversation(value):
        line = f'glm ask --resume {value} "QUESTION"'
        return tr("{value} is the id; behind it goes the question: {line}", value=value, line=line)
    return tr(
        "{value} was taken for the id behind --resume; the last ask goes on with {line}",
        value=value,
        line=typed_line(["glm", "ask", "--continue", value]),
    )
