"""The options of a command line, each as it is, put right, or as what it is here."""

from __future__ import annotations

import re
from shlex import quote
from typing import NamedTuple

from glmcli.cli.hints.known import has_input, in_the_chat, is_conversation, looks_like_id
from glmcli.cli.hints.line import (
    MeantLine,
    is_key_name,
    is_option,
    known_elsewhere,
    nearest_flag,
    reason,
    words_in,
)
from glmcli.cli.hints.taking import flags_of, value_flags
from glmcli.cli.hints.tree import arity, command_at, commands_of, metavar_of, takes_value
from glmcli.cli.hints.values import pair_of, question_in, value_right
from glmcli.cli.hints.words import is_file_word, is_no_text
from glmcli.config.values import OFF, ON
from glmcli.language import tr

SHARING = {"glm ask": ("chat",), "glm chat": ("ask",)}
"""Commands that share most options, and where one may stand that another has not."""
NO_VALUES = ("none", "null", "default", "auto", "-1")
MAY_STAND_ALONE = ("--resume", "--plain")
SIZES = {"-c": ("--window", 256), "-n": ("--tokens", 32)}
"""Short options of other programs that are others here -> what is meant from which number on."""
SWITCHED_OFF = {"--history": "--no-save", "--save": "--no-save"}
"""What an option is with off behind it, where that is not its name with a no."""
OF_LOGIN = ("-u", "--user")
OF_TEMPLATE = ("-p", "--param")
"""Options elsewhere for a login, and for a word that a template has a place for."""
OF_PAIRS = ("-o", "--option", "--param", "--params", "-P", "--set")
"""Options elsewhere behind which a setting stands with its value."""
_JOINED = re.compile(r"(--[A-Za-z][A-Za-z_-]+?)(?:[:=](.*)|([0-9.][0-9.,]*))", re.DOTALL)
_SHORT = re.compile(r"(-[a-zA-Z])=?(.+)", re.DOTALL)
_LOGIN = re.compile(r"[^\s:]+:[^\s:]+")


def take_option(line: MeantLine, word: str, rest: list[str]) -> None:
    """Add the option that a word is to the line; its value comes from the rest."""
    if cluster := divided_cluster(word, line):
        rest[:0] = cluster
        return
    name, value = divided(word, line)
    if re.fullmatch("-[0-9]+", word) and "-n" in line.takers:
        line.add("-n", word[1:])
        return
    name = name[1:] if name[1:] in line.flags and not name[3:] else name
    known = None if name in line.flags else known_elsewhere(name, line.path)
    takes = name in line.takers or bool(known and known[1])
    if value is None and not takes and is_switched(name, line, rest):
        value = rest.pop(0)
    size, least = SIZES.get(name, ("", 0))
    if size in line.flags and rest and rest[0].isdecimal() and int(rest[0]) >= least:
        line.add(size, rest.pop(0))
    elif name in OF_PAIRS and rest and (pair := pair_of(rest)):
        line.add(*pair)
    elif found := left_out_words(line, name, value, rest):
        line.leave_out(name, *rest[: found[0]], why=reason(found[1]))
        del rest[: found[0]]
    elif name in line.flags or name in ("--help", "-h"):
        own(line, name, value, rest)
    elif known:
        translated(line, name, value, rest, *known)
    elif other := other_command(name, line.path):
        move(line, other, name, value, rest)
    elif name in flags_of(command_at(["ask"])):
        unknown_option(line, name, value, rest, takes=name in value_flags(command_at(["ask"])))
    elif near := nearest_flag(name, line):
        line.has_taken = line.has_taken or (value is None and near in line.takers)
        if near not in line.takers and value is None and rest and re.match("[0-9]", rest[0]):
            line.leave_out(name, rest.pop(0))
        else:
            own(line, near, value, rest)
    else:
        unknown_option(line, name, value, rest)


def is_switched(name: str, line: MeantLine, rest: list[str]) -> bool:
    """Whether on or off stands behind an option that takes no value, and is no question."""
    is_word = bool(rest) and rest[0].isalpha() and rest[0].lower() in ON | OFF
    return is_word and bool(rest[1:] or line.words or name not in line.flags)


def divided(word: str, line: MeantLine) -> tuple[str, str | None]:
    """An option and the value that is joined to it, `--x=1`, `--x:1`, `-x1`; None without one."""
    name, equals, value = word.partition("=")
    is_known = name in line.flags or known_elsewhere(name, line.path) is not None
    if equals and (is_known or name.startswith("--")):
        return name, None if word == "--resume=" else value
    if is_known:
        return name, None
    found = _JOINED.fullmatch(word)
    long = found[1].lower() if found else ""
    if found and (long in line.flags or known_elsewhere(long, line.path)):
        return long, found[2] or found[3]
    if (
        not word.startswith("--")
        and not (word[2:] and nearest_flag(word, line))
        and (found := _SHORT.fullmatch(word))
    ):
        known = known_elsewhere(found[1], line.path)
        if found[1] in line.takers or (
            known and known[1] and (is_no_text(found[2]) or found[2].isupper())
        ):
            return found[1], found[2]
        if found[1] in line.flags and (is_no_text(found[2]) or found[2] in ("", "=")):
            return found[1], found[2]
    return word, None


def divided_cluster(word: str, line: MeantLine) -> list[str]:
    """`-qx` as `-q -x`, where all of its letters are options; nothing for other words."""
    found = re.fullmatch(r"-([a-zA-Z]+)([a-zA-Z][0-9]*)", word)
    flags = [f"-{letter}" for letter in found[1] + found[2][0]] if found else []
    if not found or not {*flags} <= {*line.flags} or {*flags[:-1]} & {*line.takers}:
        return []
    return [*flags[:-1], f"-{found[2]}"]


def left_out_words(
    line: MeantLine, name: str, value: str | None, rest: list[str]
) -> tuple[int, str] | None:
    """How many words go out with an option, and why: a login, or the parameter of a template,
    `k=v` or with a template also `k v`; None for others.
    """
    typed = value if value is not None else "".join(rest[:1])
    if name in OF_LOGIN and _LOGIN.fullmatch(typed):
        return int(value is None), "!KEY"
    has_one = {"--role", "--template"} & line.given or any(
        each[:3] == "-t " for each in line.left_out
    )
    if name not in OF_TEMPLATE or not rest:
        return None
    if re.fullmatch(r"\w+=\S+", rest[0]) and (has_one or rest[1:] or line.words):
        return 1, "!PARAMETERS"
    is_pair = has_one and words_in(rest) > 2 and rest[0].isidentifier()
    return (2, "!PARAMETERS") if is_pair else None


def own(line: MeantLine, flag: str, value: str | None, rest: list[str], typed: str = "") -> None:
    """An option of the command, which may have been `typed` as another, its value put right."""
    option = line.takers.get(flag)
    if option is None:
        switch(line, flag, value)
        return
    is_taken = value is None and bool(rest) and not is_option(rest[0])
    if is_taken and (flag != "--plain" or takes_value(rest[0], option)):
        value = rest.pop(0)
    if value is None and flag in MAY_STAND_ALONE:
        line.add(flag)
        return
    if value is None:
        line.lacking = flag
        value = "-" if flag == "--each" and has_input() else None
    if option.name == "format" and value and is_file_word(value) and "--file" in line.flags:
        line.add("-a", value)
        return
    if option.name == "host" and value and (found := re.fullmatch(r"([\w.-]*):([0-9]+)", value)):
        if found[1]:
            line.add(flag, found[1])
        line.add("--port", found[2])
        return
    if value and value.lower() in NO_VALUES and not takes_value(value, option):
        line.leave_out(typed or flag, value)
        return
    for each in value_right(value, option, rest) if value is not None else [metavar_of(option)]:
        if option.name == "code" and not takes_value(each, option):
            line.add("-x")
            rest.insert(0, each)
        else:
            line.add(flag, each)


def switch(line: MeantLine, flag: str, value: str | None) -> None:
    """An option that takes no value: `=off` turns it round, digits behind -x are the block's."""
    if flag == "-x" and value and value.isdecimal():
        line.add("--code", value)
    elif flag == "--continue" and value and value.lower() not in ON | OFF:
        line.add("--resume", value)
    elif value is not None and value.lower() in OFF:
        other = f"--{flag[5:]}" if flag.startswith("--no-") else f"--no-{flag[2:]}"
        if other in line.flags:
            line.add(other)
        else:
            line.leave_out(f"{flag}={value}")
    else:
        line.add(flag)


def translated(
    line: MeantLine, name: str, value: str | None, rest: list[str], known: str, takes: bool
) -> None:
    """An option of another program, as the first of what it may be here."""
    is_taken = value is None and bool(rest) and not is_option(rest[0])
    if is_taken and (takes or (rest[0][:1] != "-" and takes_fewer(line, rest))):
        value = rest.pop(0)
        line.has_taken = line.has_taken or takes
    off = SWITCHED_OFF.get(name, f"--no-{name[2:]}")
    if value is not None and off in line.flags and value.lower() in OFF:
        line.add(off)
        return
    if value is not None and off in line.flags and value.lower() in ON:
        line.leave_out(name, value, why=reason(known) if known[:1] == "!" else "")
        return
    *choices, last = known.split(" | ")
    is_alone = not line.words and not rest
    typed = Typed(name, value, takes, is_fallback=bool(choices), is_alone=is_alone)
    if any(became(line, typed, choice, rest) for choice in choices):
        return
    lacking = [flag for flag in (each.split()[0] for each in choices) if flag not in line.flags]
    if other := next(filter(None, (other_command(flag, line.path) for flag in lacking)), ""):
        move(line, other, name, value, [])
    else:
        became(line, typed, last, rest, is_last=True)


class Typed(NamedTuple):
    """An option of another program as it was typed."""

    name: str
    value: str | None
    takes: bool
    is_fallback: bool
    """Whether the last of what it may be here has no place for its value."""
    is_alone: bool
    """Whether there is no word beside its value."""

    @property
    def words(self) -> list[str]:
        """The same as words."""
        return [self.name, *([self.value] if self.value is not None else [])]


def became(
    line: MeantLine, typed: Typed, choice: str, rest: list[str], *, is_last: bool = False
) -> bool:
    """Whether an option is what it is said to be here; then it is in the line."""
    value = typed.value
    if typed.takes and value is None and re.search(r"\bX\b", choice) and choice[:4] != "glm ":
        line.left_out += [typed.name] if is_last else []
        return is_last
    if choice == "X":
        line.items.append(value or "")
    elif choice == "{X}":
        if not (text := question_in(value or "")):
            return False
        line.items.append(text)
        line.model = question_in(value or "", "model")
    elif choice == "@X":
        line.revision = value or ""
    elif choice == "+X":
        line.last.append(value or "")
    elif choice.startswith("="):
        line.items.append(choice[1:])
    elif choice[:1] in (">", "|", "&", "2"):
        line.after = f"{line.after} {choice.replace('X', quote(value or ''))}".strip()
    elif re.match(r"[A-Z_]+=", choice):
        head, _, what = choice.strip().partition("=")
        line.is_form = line.is_form or what == "KEY"
        line.before += f"{head}={quote(value or '') if what == 'X' else what} "
    elif (
        choice[:4] == "glm "
        and not is_last
        and not (typed.is_alone if value else "X" not in choice)
    ):
        return False
    elif choice.startswith("glm "):
        words = (value or "" if word == "X" else word for word in choice.split()[1:])
        line.other = [*filter(None, words)]
    elif choice == "!NAMED":
        title = in_the_chat("title", [value or "NAME"])
        line.leave_out(*typed.words, why=tr("{title}, --resume finds it again", title=title))
    elif choice.startswith("-") and len(choice.split()) < 3:
        return became_own(line, choice, typed, rest, is_last=is_last)
    else:
        line.leave_out(*typed.words, why=reason(choice))
    return True


def became_own(
    line: MeantLine, choice: str, typed: Typed, rest: list[str], *, is_last: bool
) -> bool:
    """Whether one of our options fits; then it is in the line, or the line is another's."""
    value, (flag, _, sign) = typed.value, choice.partition(" ")
    word = re.sub(r"\bX\b", lambda _: value or "", sign) if sign else None
    if flag not in line.flags:
        if is_last and (other := other_command(flag, line.path)):
            move(line, other, flag, word, [])
        elif is_last:
            line.leave_out(*typed.words)
        return is_last
    option = line.takers.get(flag)
    if (
        typed.name == "-i"
        and not is_last
        and not (value and (value.isupper() or is_no_text(value)))
    ):
        return False
    if not is_last and option is not None and word is not None:
        is_id = option.name != "resume" or looks_like_id(word)
        if not is_id or not all(
            takes_value(each, option) for each in value_right(word, option, [])
        ):
            return False
    if is_last and typed.is_fallback and value is not None and not re.search(r"\bX\b", sign):
        if typed.is_alone and line.path == "glm ask" and not is_no_text(value):
            line.items.append(value)
        elif value not in choice:
            line.leave_out(value)
    line.needs_server = line.needs_server or flag == "--base-url"
    if word is None:
        line.add(flag)
    else:
        own(line, flag, word, rest, typed.name)
    return True


def other_command(name: str, path: str) -> str:
    """The command that has an option which this one has not; "" if there is none."""
    names = SHARING.get(path, ())
    return next((each for each in names if name in flags_of(command_at([each]))), "")


def move(line: MeantLine, other: str, name: str, value: str | None, rest: list[str]) -> None:
    """An option that another command has: that one is meant, if it takes the rest of the line."""
    option = value_flags(command_at([other])).get(name)
    if option is not None and value is None and rest and not rest[0].startswith("-"):
        value = rest.pop(0)
    line.other = [other]
    line.add(name, *([value] if value is not None else []))
    line.told.append(tr("{command} has no {option}", command=line.path, option=name))


def unknown_option(
    line: MeantLine, name: str, value: str | None, rest: list[str], *, takes: bool = False
) -> None:
    """An option that nobody knows, left out; and with it what is its value rather than a word."""
    typed, verb = value if value is not None else "".join(rest[:1]), name.lstrip("-")
    if is_conversation(typed) and verb in commands_of(command_at(["history"])):
        del rest[: value is None]
        line.other = ["history", verb, typed]
        return
    if "--resume" in line.flags and is_conversation(typed):
        line.add("--resume", typed)
        del rest[: value is None]
        return
    hint = in_the_chat(verb) if line.path in SHARING and verb[1:] else ""
    if value is None and rest and not is_option(rest[0]):
        if is_file_word(rest[0]) and "--file" in line.flags:
            line.add("-a", rest.pop(0))
            return
        if takes or is_its_value(line, name, rest):
            line.leave_out(name, rest.pop(0), why=hint)
            return
        if " " not in rest[0] and words_in(rest) > 2:
            hint = tr("{word} too, if it is the value of {option}", word=rest[0], option=name)
    line.leave_out(name if value is None else f"{name}={value}", why=hint)


def is_its_value(line: MeantLine, name: str, rest: list[str]) -> bool:
    """Whether the word behind an option that nobody knows is its value rather than a question."""
    is_end = len(rest) == 1 and bool(line.words)
    is_one_of_two = words_in(rest) == 2 and " " not in rest[0]
    is_odd = is_no_text(rest[0]) and len(rest) + len(line.items) > 1
    is_sure = is_key_name(name) or takes_fewer(line, rest) or line.path == "glm chat"
    return is_sure or is_end or is_one_of_two or is_odd


def takes_fewer(line: MeantLine, rest: list[str]) -> bool:
    """Whether a command takes fewer words than there are."""
    most = arity(line.command)[1]
    return most is not None and len(line.words) + words_in(rest) > most
