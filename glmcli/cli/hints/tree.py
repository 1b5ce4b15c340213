"""The commands as they are, and whether they would take a line: the real parser says so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any

from glmcli.cli.hints.taking import TYPED, value_flags
from glmcli.config import setting_fields
from glmcli.config.settings import is_one_word
from glmcli.config.values import parsed
from glmcli.errors import GlmError

HELP_FLAGS = ("--help", "-h")
ITS_FORMATS = ("text", "markdown", "json", "jsonl", "records")
BLOCKS = ("all", "last")
STANDS_FOR = ("QUESTION", "MODEL", "NAME", "ID", "TITLE", "VALUE", "FILE", "WORDS", "WORD", "KEY")
"""Words of a line that only stand for what is to be typed."""


@cache
def whole_command() -> Any:
    """The whole command line."""
    from typer.main import get_command

    from glmcli.cli import command_line

    return get_command(command_line())


def command_at(path: Sequence[str]) -> Any:
    """The command of these names."""
    command: Any = whole_command()
    for name in path:
        command = command.commands[name]
    return command


def commands_of(command: Any) -> dict[str, Any]:
    """The commands of a group; none of a command."""
    return getattr(command, "commands", None) or {}


def arity(command: Any) -> tuple[int, int | None]:
    """How many arguments a command needs, and how many it takes at most; None for any number."""
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    needed = sum(bool(each.required) for each in arguments)
    return needed, None if any(each.nargs < 0 for each in arguments) else len(arguments)


def metavar_of(option: Any) -> str:
    """What stands for the value of an option in its help."""
    kind = type(option.type).__name__
    return str(option.metavar or ("N" if "Int" in kind else "VALUE"))


def sample(option: Any) -> str:
    """A value that an option takes, in the place of its sign."""
    choices = [str(getattr(each, "value", each)) for each in getattr(option.type, "choices", ())]
    item = setting_fields().get(option.name)
    choices += item.metadata.get("choices") or () if item else ()
    words = [*choices, "2", "cuda", "off", "http://h", "int8"]
    return next((each for each in words if takes_value(each, option)), "auto")


def takes_value(value: str, option: Any) -> bool:
    """Whether an option takes a value, as far as that is known before its command runs."""
    if value in (*STANDS_FOR, metavar_of(option)):
        return True
    if option.name == "file":
        return value not in ITS_FORMATS and value[:1] not in ("{", "[")
    if option.name == "role":
        return value in role_list() or value == "off"
    if option.name == "code":
        return value in BLOCKS or value.isdecimal()
    if option.name == "prompts":
        return value.replace(",", "").isdecimal()
    if option.name == "base_url":
        return " " not in value and value.startswith(("http://", "https://"))
    if option.name == "host" and ":" in value and "." in value:
        return False
    item = setting_fields().get(option.name)
    if " " in value and is_one_word(option.name, value):
        return False
    if item is not None and not item.metadata.get("secret"):
        with suppress(GlmError):
            parsed(value, str(item.type), label="", rules=item.metadata)
            return True
        return False
    try:
        option.type.convert(value, option, None)
    except Exception:  # whatever class the parser's error has in its version
        return False
    return True


def role_list() -> Sequence[str]:
    """The names of the roles there are."""
    from glmcli.conversation.roles import role_names

    with suppress(GlmError):
        return role_names()
    return ()


def setting_takes(name: str, value: str) -> bool:
    """Whether a setting can have a value; True for those that are no options."""
    takers = value_flags(command_at(["ask"])) | value_flags(command_at(["serve"]))
    return all(takes_value(value, each) for each in takers.values() if each.name == name)


def names_setting(word: str = "") -> bool:
    """Whether a word is the name of a setting, or its sign."""
    name = word.partition("=")[0]
    return name in (*STANDS_FOR, *setting_fields()) or name.startswith("keys.")


def parses(words: Sequence[str]) -> bool:
    """Whether the command line takes these words, with values that their options take."""
    from glmcli.cli.options import with_values

    words = [*words]
    asks_help = bool({*HELP_FLAGS} & {*words[: words.index("--") if "--" in words else None]})
    if words[:1] in (["ask"], ["chat"], ["history"]):
        words = with_values(words)
    if words == ["--version"] or words[:1] == ["--install-completion"]:
        return True
    command, path = whole_command(), list[str]()
    while words and words[0] in commands_of(command):
        path.append(words.pop(0))
        command = command_at(path)
    if asks_help:
        return all(word in HELP_FLAGS or word.startswith("-") for word in words)
    if commands_of(command):
        return False
    if path in (["config", "set"], ["config", "get"]) and not names_setting(*words[:1]):
        return False
    if path == ["config", "set"] and len(words) == 2 and not setting_takes(*words):
        return False
    takers, typed = value_flags(command), [*TYPED]
    for at, (flag, value) in enumerate(pairwise(words)):
        if flag in takers and value == metavar_of(takers[flag]):
            words[at + 1] = sample(takers[flag])
    try:
        context = command.make_context(path[-1], words)
    except Exception:  # the parser's own, or ours
        return False
    finally:
        TYPED[:] = typed
    options = (each for each in command.params if each.param_type_name == "option")
    given = ((each, context.params.get(each.name)) for each in options if not each.is_flag)
    return all(
        takes_value(str(getattr(value, "value", value)), option)
        for option, values in given
        if values is not None and context.get_parameter_source(option.name).name == "COMMANDLINE"
        for value in (values if isinstance(values, list | tuple) else [values])
        if (option.name, value) not in (("resume", ""), ("plain", "on"))
    )
