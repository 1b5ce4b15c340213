"""What to type for an option that there is not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from glmcli.cli.hints.elsewhere import (
    ANYWHERE,
    IN_THE_CHAT,
    OF_ONE_COMMAND,
    OTHER_COMMANDS,
    OTHER_OPTIONS,
)
from glmcli.cli.hints.lines import filled, named_command, nearest_word, typed_line
from glmcli.cli.hints.taking import flags_of, value_flags
from glmcli.cli.hints.usage import whole_form
from glmcli.config import setting_fields
from glmcli.language import tr

SHARING = {"glm ask": ("chat",), "glm chat": ("ask",)}
"""Commands that share most options."""
ASKING = ("glm", "glm ask", "glm chat", "glm bench")
"""Where options are of models and replies."""
FEW_OPTIONS = 8
"""A command with no more options of its own has them named."""
_AT_EVERY_COMMAND = ("--help", "-h")


def for_option(name: str, context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type for an option that there is not."""
    command = context.command
    name = whole_word(name, arguments)
    if name == "-=":  # of -x=1
        return for_joined(command, arguments)
    if path == "glm" and (line := behind_command(name, arguments)):
        return line
    flags, value = flags_of(command), value_behind(name, arguments)
    if hint := of_group(name, command, path, arguments):
        return hint
    if known := OF_ONE_COMMAND.get(path, {}).get(name, ""):
        return with_typed(tr(known), value)
    known = OTHER_OPTIONS.get(name, "")
    meant = known.split(" ")[0] if known.startswith("-") else name
    if "--json" in flags and (value == "json" or meant == "--format"):
        return tr("did you mean {near}?", near="--json")
    if meant in flags:
        return with_typed(tr(known), value)
    if path == "glm" and len(known.split()) < 3 and meant in flags_of(named_command(["chat"])):
        line = f"glm chat {with_typed(tr(known), value)}"
        return tr("options go behind a command: {line}", line=line)
    if hint := of_another(meant, known or name, path):
        return hint
    if known and not known.startswith("--") and (known in ANYWHERE or path in ASKING):
        return with_typed(tr(known), value)
    if hint := in_the_chat(name.lstrip("-"), path):
        return hint
    if near := nearest_flag(name, [flag for flag in flags if flag.startswith("--")]):
        return tr("did you mean {near}?", near=near)
    return named_flags(command, path, whole_form(context, path))


def whole_word(name: str, arguments: Sequence[str]) -> str:
    """The option as it was typed: Typer reads `-ngl` as the options n, g and l."""
    for word in arguments if len(name) == 2 else ():
        word = word.partition("=")[0]
        if word[:1] == "-" != word[1:2] and name[1] in word[1:] and word[2:].isalpha():
            return word
    return name


def for_joined(command: Any, arguments: Sequence[str]) -> str:
    """What to type for `-x=VALUE`: Typer takes that for the options x and =."""
    word = next((each for each in arguments if each[2:3] == "=" and each[0] == "-"), "")
    flag, _, value = word.partition("=")
    if flag in value_flags(command):
        return tr("did you mean {near}?", near=typed_line([flag, value]))
    return tr("leave the value out: {option}", option=flag) if flag in flags_of(command) else ""


def value_behind(name: str, arguments: Sequence[str]) -> str:
    """What stands behind an option, or behind its `=`; "" where another option does."""
    for at, word in enumerate(arguments):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and arguments[at + 1 :] and not arguments[at + 1].startswith("-"):
            return arguments[at + 1]
    return ""


def with_typed(hint: str, value: str) -> str:
    """A hint with the value that was typed in the place of its sign, if it is a line to type."""
    if not value or not hint.startswith(("-", "glm ")) or ";" in hint:
        return hint
    head, _, sign = hint.rpartition(" ")
    if "//" in value and sign.startswith("http://HOST"):
        return typed_line([head, value])
    if sign in ("N", "DIR") and " " not in head:
        return typed_line([head, value])
    is_of_more = hint.startswith("-") and "FILE" not in hint and len(hint.split()) > 2
    return hint if is_of_more else filled(hint, [value])


def behind_command(name: str, arguments: Sequence[str]) -> str:
    """What to type where options stand before the command; "" if they are of none."""
    from glmcli.cli import BY_NAME

    first = next((each for each in BY_NAME if each in arguments), "")
    if first in ("ask", "chat", "bench"):
        at = arguments.index(first)
        rest = [first, *arguments[:at], *arguments[at + 1 :]]
    elif first:
        at = arguments.index(first)
        rest = [*arguments[at:], *arguments[:at]]
    else:
        rest = ["chat", *arguments]
        if name not in flags_of(named_command(["chat"])):
            rest = ["ask", *arguments]
    if name not in flags_of(named_command(rest)):
        return ""
    line = typed_line(["glm", *rest])
    if first:
        return tr("options go behind the command: {line}", line=line)
    return tr("options go behind a command: {line}", line=line)


def of_group(name: str, command: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type where a command is written as an option, or one of its options is missing it."""
    commands = getattr(command, "commands", None)
    if not commands or path == "glm":
        return ""
    word = name.lstrip("-")
    rest = [each for each in arguments[1:] if not each.startswith(name)]
    if word in commands:
        return tr("did you mean {near}?", near=typed_line([path, word, *rest]))
    if known := OTHER_COMMANDS.get(path, {}).get(word):
        return filled(tr(known), rest)
    for each in ("list", "show"):
        if each in commands and name in flags_of(commands[each]):
            line = typed_line([path, each, *arguments[1:]])
            return tr("options go behind the command: {line}", line=line)
    if word[:1] == "l" and "list" in commands:
        return tr("did you mean {near}?", near=f"{path} list")
    return ""


def of_another(meant: str, shown: str, path: str) -> str:
    """Which other command has an option, where it shares most with this one."""
    others = SHARING.get(path, ("ask", "chat") if is_setting(meant) else ())
    for other in others:
        if meant in flags_of(named_command([other])):
            line = f"glm {other} {shown}"
            return tr("{command} has no such option; {line} has", command=path, line=line)
    return ""


def is_setting(name: str) -> bool:
    """Whether a word, or an option, is the name of a setting."""
    return name.lstrip("-").replace("-", "_") in setting_fields()


def nearest_flag(name: str, flags: Collection[str]) -> str:
    """The flag that a wrong one is a slip for, short for, or longer than; "" if there is none."""
    starts = [flag for flag in flags if len(name) > 4 and flag.startswith(name)]
    if name.startswith("--no-"):
        flags = [flag for flag in flags if flag.startswith("--no-")]
    parts = [(flag, flag.lstrip("-")) for flag in [*flags, "--help"]]
    longer = [flag for flag, _ in parts if name.startswith(f"{flag}-")]
    ending = [flag for flag, word in parts if name.endswith(f"-{word}")]
    for found in (starts, longer, ending):
        if len(found) == 1:
            return found[0]
    near = nearest_word(name.lstrip("-").lower(), sorted(word for _, word in parts))
    return f"--{near}" if near else ""


def in_the_chat(word: str, path: str) -> str:
    """What to do for a word that is a command of the chat; "" for all others."""
    from glmcli.chat.commands import COMMANDS

    word = IN_THE_CHAT.get(word, word)
    if path not in ASKING or word not in COMMANDS:
        return ""
    return tr("/{word} is typed inside glm chat", word=word)


def named_flags(command: Any, path: str, form: str) -> str:
    """The options of a command's own, if they are few; its whole `form` if it has none; "" else."""
    options = [each for each in command.params if each.param_type_name == "option"]
    options = [each for each in options if each.opts[-1] not in _AT_EVERY_COMMAND]
    if not options and not hasattr(command, "commands"):
        return tr("; ").join([tr("{command} has no options", command=path), form])
    own = [each for each in options if not is_setting(each.name)]
    is_cut = bool(options[FEW_OPTIONS:])
    names = [each.opts[-1] for each in (own if is_cut else options)]
    if not names or len(names) > FEW_OPTIONS or path == "glm":
        return ""
    line = tr("its options are {names}", names=", ".join(names))
    more = tr("{command} --help lists all", command=path) if is_cut else ""
    return tr("; ").join(filter(None, [line, more]))
