"""The line that was meant by a wrong one: read leniently, put right, and parsed again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from glmcli.cli.hints.commands import FILED, MEANT, Found, Told, found_command
from glmcli.cli.hints.known import in_the_chat, is_conversation, looks_like_id, names_model
from glmcli.cli.hints.line import (
    MeantLine,
    is_key_name,
    is_option,
    known_elsewhere,
    nearest_flag,
    nearest_word,
    tidied,
    typed_line,
    words_in,
)
from glmcli.cli.hints.options import SHARING, divided, divided_cluster, take_option
from glmcli.cli.hints.taking import TYPED, flags_of, plain_words, value_flags
from glmcli.cli.hints.tree import (
    command_at,
    commands_of,
    metavar_of,
    parses,
    role_list,
    takes_value,
    whole_command,
)
from glmcli.cli.hints.values import value_right
from glmcli.cli.hints.words import arranged, is_no_text
from glmcli.config import setting_fields
from glmcli.language import tr

_MARK = "\0"
"""Marks, before a command parses them, the words that stood behind `--`."""
MOST_TURNS = 4
FEW_OPTIONS = 8
"""A command with no more options of its own has them named."""
_PLAIN = re.compile(r"[^\W\d][\w'’-]*[,.:?!]?")
_OFTEN = ("--help", "-h")


def meant_hint(
    arguments: Sequence[str], typed: Sequence[str] | None = None, *, bare: bool = False
) -> str:
    """What to type in place of a wrong line; "" where that is unclear, or it is what was `typed`,
    if that is another. A `bare` one is the line alone.
    """
    typed = arguments if typed is None else typed
    words = [word.removeprefix(_MARK) for word in arguments]
    if {*words[:1]} & {*flags_of(command_at([]))}:
        return ""
    right = plain_words(command_at(["ask"]), words)
    is_text = right != words and not bare and words[0] in ("ask", "chat")
    told = [tr("behind -- all words are text")] if is_text else []
    words = tidied(right, commands_of(command_at([]))) if right else right
    try:
        found = found_command(words)
    except Told as told:
        return str(told)
    if commands_of(command_at(found.path)):
        return hint_of([[*found.path, *found.rest]], MeantLine(None, ""), found, typed, bare=bare)
    line, lines = put_right(found)
    line.told = [*told, *line.told]
    if line.lacking and not {*lines[0]} - {*words, metavar_of(line.takers[line.lacking])}:
        return ""
    return hint_of(lines, line, found, typed, bare=bare)


def put_right(found: Found) -> tuple[MeantLine, list[list[str]]]:
    """The line of a command with its options and words put right; where another command is meant,
    as that one's. What was said and left out on the way is kept.
    """
    path, rest = found.path, found.rest
    line = read(path, rest)
    for _ in range(MOST_TURNS):
        lines = arranged(line) if not line.other else []
        if not line.other:
            break
        path, rest = taken_over(line)
        if not path:
            return line, [rest]
        told, left_out = line.told, line.left_out
        line = read(path, rest)
        line.told, line.left_out = [*told, *line.told], [*left_out, *line.left_out]
        line.has_taken = True
    return line, lines


def taken_over(line: MeantLine) -> tuple[list[str], list[str]]:
    """The command that is meant in place of a line's, and what of the line it takes."""
    other, path = line.other, list[str]()
    for word in other:
        if word not in commands_of(command_at(path)):
            break
        path.append(word)
    rest = other[len(path) :]
    if not path:
        return path, rest
    flags = flags_of(command_at(path))
    shares = len(other) == 1 and path[0] in ("ask", "chat", "serve", "bench")
    for item in line.items:
        is_word = isinstance(item, str)
        words = [item] if isinstance(item, str) else item
        if shares or (words[0] in flags and not is_word):
            rest += words
        else:
            line.leave_out(*words)
    return path, rest


def read(path: Sequence[str], tokens: Sequence[str]) -> MeantLine:
    """A command's options and words as they were typed, each option put right."""
    line, rest = MeantLine(command_at(path), " ".join(["glm", *path])), [*tokens]
    is_unquoted = False
    while rest:
        word = rest.pop(0)
        if word == "--":
            line.items.append(["--", *rest])
            break
        is_number = not line.takers and re.fullmatch(r"-[0-9.]+", word)
        if not word.startswith("-") or word == "-" or is_number:
            line.items.append(word)
        elif is_of_question(line, word, rest):
            is_unquoted = True
            line.items.append(word)
        else:
            take_option(line, word, rest)
    if is_unquoted:
        files = [each for each in line.words if each[:1] == "@"]
        line.words = [*files, " ".join(each for each in line.words if each not in files)]
    return line


def is_of_question(line: MeantLine, word: str, rest: list[str]) -> bool:
    """Whether what looks like an option, behind two words, is more likely the next of them."""
    plain = [each for each in line.words if _PLAIN.fullmatch(each) and not names_model(each)]
    if line.path not in SHARING or not plain[1:]:
        return False
    (name, value), near = divided(word, line), nearest_flag(word.partition("=")[0], line)[2:]
    known, bare = known_elsewhere(name, line.path), name.lstrip("-").replace("_", "-").lower()
    ours = {*line.flags, *flags_of(command_at([*SHARING[line.path]]))} & {name, name[1:]}
    if ours or known or divided_cluster(word, line):
        if name[2:] or value is not None or not rest or is_option(rest[0]):
            return False
        choices = known[0].split(" | ") if known and not ours else [name]
        flags = [each.split()[0] for each in choices if each[:1] == "-"]
        takes = name in line.takers if ours or not known else known[1]
        if takes:
            return bool(flags) and not any(can_have(line, each, rest[0]) for each in flags)
        return not ours
    is_slip = near and (near in bare or near.startswith(bare) or nearest_word(bare, [near], 0.8))
    is_given = word[:2] == "--" and words_in(rest) == 1 and is_no_text(rest[0])
    return not (is_slip or is_given or is_key_name(name) or in_the_chat(bare))


def can_have(line: MeantLine, flag: str, value: str) -> bool:
    """Whether an option of the command can have a value, put right, and would have it."""
    option = line.takers.get(flag)
    if option is None or (option.name == "resume" and not looks_like_id(value)):
        return False
    return takes_value(value_right(value, option, [])[0], option)


def hint_of(
    lines: list[list[str]], line: MeantLine, found: Found, arguments: Sequence[str], *, bare: bool
) -> str:
    """The hint that offers the lines, once the parser has taken each of them."""
    if not lines or not all(map(parses, lines)):
        return "" if bare else of_misfit(line, arguments)
    is_same = [*map(as_typed, lines)] == [as_typed(arguments)]
    if not lines[1:] and sorted(as_typed(lines[0])) == sorted(as_typed(arguments)):
        is_same = is_same or parses(arguments)
    if is_same and not (line.before or line.after or line.left_out):
        return ""
    if line.is_form and {*arguments} <= {*lines[0]} and parses(arguments):
        return ""  # the command has refused it, and says more than a form does
    typed = " && ".join(typed_line(["glm", *words]) for words in lines)
    typed = f"{line.before}{typed}{' ' if line.after else ''}{line.after}"
    if bare:
        return typed
    if line.left_out:
        option = " ".join(map(shown_word, line.left_out))
        hint = tr("leave {option} out: {line}", option=option, line=typed)
        is_option = any(each.startswith("-") for each in line.left_out)
        more = line.told or [*filter(None, [named_flags(line) if is_option else ""])]
        return tr("; ").join([hint, *more])
    if line.is_form:
        return tr("; ").join([*line.told, tr("write: {line}", line=typed), *of_group(line)])
    lead = FILED if line.after and found.lead == MEANT else found.lead
    return tr("; ").join([*line.told, tr(lead, near=typed, line=typed)])


def of_misfit(line: MeantLine, arguments: Sequence[str]) -> str:
    """What an option takes whose name was put right, and whose value does not fit; "" if none."""
    for flag, *values in line.options:
        option = line.takers.get(flag)
        fits = all(takes_value(each, option) for each in values)
        is_typed = any(each.partition("=")[0] == flag for each in arguments)
        if option is not None and not is_typed and not fits:
            return for_value(flag, line.command)
    return ""


def of_group(line: MeantLine) -> list[str]:
    """Where the names that a command takes are listed, if one stands for them."""
    group, _, command = line.path.rpartition(" ")
    if not {"ID", "NAME"} & {*line.words} and line.path != "glm history show":
        return []
    if group not in ("glm models", "glm history", "glm roles") or command in ("pull", "edit"):
        return []
    return [tr("{line} shows them", line=f"{group} list")]


def as_typed(words: Sequence[str]) -> list[str]:
    """A line as it was typed: `--resume=` and `--plain=on` stand for the options alone."""
    alone = {"--resume=": "--resume", "--plain=on": "--plain"}
    plain = [alone.get(word, word).removeprefix(_MARK) for word in words]
    joined = (word.split("=", 1) if word.startswith("--") else [word] for word in plain)
    return [word for each in joined for word in each]


def shown_word(typed: str) -> str:
    """What was typed, as the shell takes it."""
    return typed if " " not in typed or typed.startswith("-") else shlex.quote(typed)


def named_flags(line: MeantLine) -> str:
    """The options of a command's own, if they are few; "" else."""
    if line.command is None:
        return ""
    options = [each for each in line.command.params if each.param_type_name == "option"]
    options = [each for each in options if each.opts[-1] not in _OFTEN]
    own = [each.opts[-1] for each in options if each.name not in setting_fields()]
    if not options:
        return tr("{command} has no options", command=line.path)
    if not options[FEW_OPTIONS:]:
        return tr("its options are {names}", names=", ".join(each.opts[-1] for each in options))
    more = tr("{command} --help lists all", command=line.path)
    names = "" if own[FEW_OPTIONS:] else ", ".join(own)
    mine = [tr("options of its own are {names}", names=names)] if names else []
    return tr("; ").join([*mine, more])


def for_kind(exc: Exception) -> str:
    """What to type for a kind of mistake where no whole line is meant; "" if that is unclear."""
    words, param = getattr(exc, "message", "") or "", getattr(exc, "param", None)
    if "requires an argument" in words:
        command = TYPED[-1][0] if TYPED else whole_command()
        return for_value(str(getattr(exc, "option_name", "")), command)
    if "is not one of" in words:
        names = re.findall(r"'(.+?)'", words.partition("is not one of")[2])
        option = next(iter(getattr(param, "opts", ())), "")
        if option == "-f" and any(each[:6] == "--each" for each in TYPED[-1][1]):
            return tr("answers to many lines are lines of JSON")
        if option and len(names) == 1:
            return tr("write {option} {word}", option=option, word=names[0])
        return tr("choose one of these")
    if param is not None and ("not a valid int" in words or "not in the range" in words):
        low, high = getattr(param.type, "min", None), getattr(param.type, "max", None)
        line = tr("write {option} N: {what}", option=param.opts[-1], what=param.help)
        more = [tr("at least {low}", low=low)] if low is not None else []
        more = [tr("from {low} to {high}", low=low, high=high)] if high is not None else more
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
    for option, value in pairwise(as_typed(words)):
        if option == "--resume" and value[:1] != "-":
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
