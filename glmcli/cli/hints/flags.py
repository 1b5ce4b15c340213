"""What to type for an option that there is not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glmcli.cli.hints.corrected import meant_line, nearest_flag, put_right
from glmcli.cli.hints.elsewhere import (
    ANYWHERE,
    IN_THE_CHAT,
    OF_ONE_COMMAND,
    OTHER_COMMANDS,
    OTHER_OPTIONS,
    WITH_A_VALUE,
)
from glmcli.cli.hints.lines import filled, named_command, typed_line
from glmcli.cli.hints.taking import flags_of, value_flags
from glmcli.cli.hints.usage import plain_words, whole_form
from glmcli.config import setting_fields
from glmcli.language import tr
from glmcli.paths import is_file

SHARING = {"glm ask": ("chat",), "glm chat": ("ask",)}
"""Commands that share most options."""
ASKING = ("glm", "glm ask", "glm chat", "glm bench")
"""Where options are of models and replies."""
FEW_OPTIONS = 8
"""A command with no more options of its own has them named."""
NO_TEXT = (
    r"-?[0-9][0-9.,]*[a-zA-Z%]{0,3}",
    r"[\w.~-]*/[\w./~-]*",
    r"[\w-]+\.[a-z][a-z0-9]{1,4}",
    r"\w+[=:]\S+",
    r"[{\[].*",
)
"""A number with its unit, a path, the name of a file, a pair, JSON: what is no question."""
INTO_FILE = ("--output", "--out", "-o", "--output-file")
ONTO_STDOUT = ("glm ask", "glm bench", "glm history export", "glm history show")
"""Commands whose result goes to stdout, and to a file from there."""
_AT_EVERY_COMMAND = ("--help", "-h")


def for_option(name: str, context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type for an option that there is not."""
    from glmcli.cli import BY_NAME

    command = context.command
    name = whole_word(name, arguments)
    if name == "-=":  # of -x=1
        return for_joined(command, arguments)
    if path == "glm" and (line := behind_command(name, arguments)):
        return line
    flags, value = flags_of(command), value_behind(name, arguments)
    if name[1:].isdecimal() and (line := of_digits(name, command, arguments)):
        return tr("did you mean {near}?", near=line)
    if name in INTO_FILE and path in ONTO_STDOUT and value:
        line = meant_line(option_left_out(name, value, arguments))
        return tr("write: {line}", line=f"{line} > {shlex.quote(value)}")
    if hint := of_group(name, command, path, arguments):
        return hint
    if path != "glm" and (hint := put_right_line(name, value, command, path, arguments)):
        return hint
    if known := OF_ONE_COMMAND.get(path, {}).get(name, ""):
        return with_typed(tr(known), value)
    known = OTHER_OPTIONS.get(name, "") or (WITH_A_VALUE.get(name, "") if path in SHARING else "")
    meant = known.split(" ")[0] if known.startswith("-") else name
    if meant in flags:
        return with_typed(tr(known), value)
    chat = named_command(["chat"])
    if path == "glm" and len(known.split()) < 3 and meant in flags_of(chat):
        behind = [value] if name in value_flags(chat) and value not in ("", *BY_NAME) else []
        right = with_typed(tr(known), value) if known else typed_line([name, *behind])
        return tr("options go behind a command: {line}", line=f"glm chat {right}")
    if hint := of_another(meant, known or name, path):
        return hint
    is_told = known and not known.startswith("--") and name not in WITH_A_VALUE
    if is_told and (known in ANYWHERE or path in ASKING):
        return with_typed(tr(known), value)
    if hint := in_the_chat(name.lstrip("-"), path):
        return hint
    if path == "glm" and (near := nearest_flag(name, [each for each in flags if each[1] == "-"])):
        line = typed_line(["glm", *(near if word == name else word for word in arguments)])
        return tr("did you mean {near}?", near=line)
    hint = named_flags(command, path, whole_form(context, path))
    if path == "glm" or (hint and has_no_options(command)):
        return hint
    words, _ = plain_words(command, arguments[path.count(" ") :])
    is_behind_all = bool(words[1:]) and [*arguments[-2:]] == [name, value]
    is_taken = bool(known) or is_no_text(value) or is_behind_all
    line = meant_line(option_left_out(name, value if is_taken else "", arguments))
    hint = tr(known) or hint or tr("{command} --help lists all", command=path)
    return tr("leave {option} out: {line}; {more}", option=name, line=line, more=hint)


def of_digits(name: str, command: Any, arguments: Sequence[str]) -> str:
    """The line for digits joined to an option that takes none, as `-x2`; "" if that is unclear."""
    form = re.compile(rf"(-[a-zA-Z]*)([a-zA-Z])({name[1:]}[0-9]*)")
    found = next(filter(None, map(form.fullmatch, arguments)), None)
    flag = f"-{found[2]}" if found else ""
    if not found or flag not in flags_of(command) or flag in value_flags(command):
        return ""
    right = ["--code", found[3]] if flag == "-x" else [flag]
    right = [found[1], *right] if found[1] != "-" else right
    return meant_line(
        [new for each in arguments for new in (right if each == found[0] else [each])]
    )


def option_left_out(name: str, value: str, arguments: Sequence[str]) -> list[str]:
    """The arguments without an option, and without the value behind it if one is given."""
    at = next((at for at, each in enumerate(arguments) if each.partition("=")[0] == name), -1)
    if at < 0:
        return [*arguments]
    taken = 2 if value and arguments[at] == name and arguments[at + 1 : at + 2] == [value] else 1
    return [*arguments[:at], *arguments[at + taken :]]


def is_no_text(word: str) -> bool:
    """Whether a word is the value of an option rather than a question."""
    is_so = bool(word) and is_file(Path(word))
    return is_so or any(re.fullmatch(form, word, re.DOTALL) for form in NO_TEXT)


def put_right_line(name: str, value: str, command: Any, path: str, arguments: Sequence[str]) -> str:
    """The whole line with the option of another name, and what that does if it is told."""
    words = [*path.split()[1:], *arguments[path.count(" ") :]]
    known = OF_ONE_COMMAND.get(path, {}).get(name) or OTHER_OPTIONS.get(name, "")
    if put_right(name, value, command, path) is None:
        return ""
    hint = tr("did you mean {near}?", near=meant_line(words))
    is_other = known.startswith("-") and known.split()[0] not in flags_of(command)
    is_told = name != "--history" and len(known.split()) > 2 and not is_other
    return tr("; ").join([with_typed(tr(known), value), hint]) if is_told else hint


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

    first = next((each for each in arguments if each in BY_NAME), "")
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
    meant = named_command(rest)
    if name not in flags_of(meant) and not (
        first and put_right(name, value_behind(name, arguments), meant, f"glm {first}")
    ):
        return ""
    line = meant_line(rest)
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
        return tr("did you mean {near}?", near=meant_line([*path.split()[1:], word, *rest]))
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


def in_the_chat(word: str, path: str) -> str:
    """What to do for a word that is a command of the chat; "" for all others."""
    from glmcli.chat.commands import COMMANDS

    word = IN_THE_CHAT.get(word, word)
    if path not in ASKING or word not in COMMANDS:
        return ""
    return tr("/{word} is typed inside glm chat", word=word)


def has_no_options(command: Any) -> bool:
    """Whether a command takes none but --help."""
    names = [each.opts[-1] for each in command.params if each.param_type_name == "option"]
    return not hasattr(command, "commands") and not {*names} - {*_AT_EVERY_COMMAND}


def named_flags(command: Any, path: str, form: str) -> str:
    """The options of a command's own, if they are few; its whole `form` if it has none; "" else."""
    options = [each for each in command.params if each.param_type_name == "option"]
    options = [each for each in options if each.opts[-1] not in _AT_EVERY_COMMAND]
    if has_no_options(command):
        return tr("; ").join([tr("{command} has no options", command=path), form])
    own = [each for each in options if not is_setting(each.name)]
    is_cut = bool(options[FEW_OPTIONS:])
    names = [each.opts[-1] for each in (own if is_cut else options)]
    if not names or len(names) > FEW_OPTIONS or path == "glm":
        return ""
    line = tr("its options are {names}", names=", ".join(names))
    more = tr("{command} --help lists all", command=path) if is_cut else ""
    return tr("; ").join(filter(None, [line, more]))
