"""What to type where a line lacks what only its user knows, as the value of an option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from glmcli.cli.hints.known import is_conversation
from glmcli.cli.hints.line import typed_line
from glmcli.cli.hints.taking import TYPED, plain_words, value_flags
from glmcli.cli.hints.tree import command_at, commands_of, role_list, whole_command
from glmcli.config import setting_fields
from glmcli.errors import UsageError
from glmcli.language import tr

_SHORT = {"-m": "model", "-s": "system"}


def named_command(arguments: Sequence[str]) -> Any:
    """The command that a command line names."""
    path = list[str]()
    for word in arguments:
        if word in commands_of(command_at(path)):
            path.append(word)
    return command_at(path) if path else whole_command()


def for_kind(exc: Exception, context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type for a kind of mistake where no whole line is meant; "" if that is unclear."""
    kind, words = type(exc).__name__, getattr(exc, "message", "") or ""
    param = getattr(exc, "param", None)
    if "requires an argument" in words:
        return for_value(str(getattr(exc, "option_name", "")), arguments)
    if kind == "MissingParameter" or "extra argument" in words:
        return whole_form(context, path) if context else ""
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


def whole_form(context: Any, path: str) -> str:
    """How a command is typed."""
    pieces = context.command.collect_usage_pieces(context)
    pieces = [re.sub("[{}]", "", piece) for piece in pieces if piece != "[OPTIONS_ELSEWHERE]"]
    return tr("write: {line}", line=" ".join([path, *pieces]))


def for_value(name: str, arguments: Sequence[str]) -> str:
    """What an option wants that came without its value."""
    setting = _SHORT.get(name, name.lstrip("-").replace("-", "_"))
    item = setting_fields().get(setting)
    if item is None:
        return of_option(name, named_command(arguments))
    words = item.metadata.get("choices", ())
    return tr(
        "write {option} VALUE: {what}",
        option=name,
        what=", ".join(words) or tr(item.metadata["help"]),
    )


def of_option(name: str, command: Any) -> str:
    """The same for an option that is no setting."""
    for each in command.params:
        if name in each.opts:
            words = getattr(each.type, "choices", None) or [each.metavar or "VALUE"]
            value = "|".join(map(str, words))
            what = str(each.help).removeprefix("--each: ")
            if each.name == "role":
                what = tr("one of: {names}", names=", ".join(role_list()))
            return tr("write {option} {value}: {what}", option=name, value=value, what=what)
    return ""


def number_behind(option: str, number: str, arguments: Sequence[str]) -> UsageError:
    """The error where a chat would begin with a number that stands behind an option without one."""
    from glmcli.cli.hints.meant import meant_hint  # which asks for what a value is

    line = meant_hint(["chat", *arguments])
    ids = tr("glm history list shows the ids that --resume takes; behind -- all words are text")
    return UsageError(tr("{option} takes no {n}", option=option, n=number), line or ids)


def no_value(option: str, after: str, path: str) -> UsageError:
    """The error where an option stands in the place of another one's value."""
    return UsageError(
        tr("{option} has no value before {next}", option=option, next=after),
        for_value(option, path.split()[1:]),
    )


def typeset(word: str, context: Any, arguments: Sequence[str]) -> UsageError:
    """The error for a word with the signs of an editor, or of another shell."""
    words = [*context.command_path.split()[1:], *plain_words(context.command, arguments)]
    return UsageError(
        tr("{word} is not how that is typed here", word=word),
        tr("did you mean {near}?", near=typed_line(["glm", *words])),
    )


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
