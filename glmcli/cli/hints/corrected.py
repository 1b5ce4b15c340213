"""The command line that was meant: each word that is clearly a slip put right, all others kept."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from glmcli.cli.hints.elsewhere import OF_ONE_COMMAND, OTHER_COMMANDS, OTHER_OPTIONS, VALUED
from glmcli.cli.hints.known import is_conversation, newest_conversation
from glmcli.cli.hints.lines import NEAR, nearest_word, typed_line
from glmcli.cli.hints.taking import flags_of, value_flags
from glmcli.config import setting_fields
from glmcli.config.known import BUILT_IN_MODEL
from glmcli.config.values import OFF

_MARK = "\0"
"""Marks, before a command parses them, the words that stood behind `--`."""
_SIGN = re.compile(r"[A-Z][A-Z/,]*|http://HOST:PORT")
"""Stands for a value in a table of options."""
OF_ARGUMENTS = ("--file", "--id", "--name", "--query", "--words", "--model")
"""Options elsewhere for what is an argument here."""
OF_MODELS = ("glm models show", "glm bench", "glm serve")
"""Commands whose first argument is a model, which may be the built-in one."""
WITHOUT_QUESTION = ("-a", "--file", "--each", "--messages")
"""Options of `glm ask` that ask something by themselves."""
OF_IDS = ("glm history show", "glm history delete", "glm history rename", "glm history export")
"""Commands whose first argument is a conversation."""
OF_TEXT = ("-s", "--system", "--stop")
"""Options that take any text: a question too, if their own was left out."""
ONE_TEXT = {"glm history search": 0, "glm history rename": 1}
"""Commands whose last argument is a text, and how many arguments stand before it."""
SHORT_FORMS = {
    "md": "markdown",
    "txt": "text",
    "plain": "text",
    "ndjson": "jsonl",
    "json_object": "json",
}
"""What the form of a reply or an export is called elsewhere."""
_SHORTEST = 3
"""Letters of a command's start that say which one it is."""


class PutRight(NamedTuple):
    """What to type for a wrong option."""

    words: list[str]
    takes_next: bool
    """Whether the word behind the wrong option is among them."""


def meant_line(words: Sequence[str]) -> str:
    """A command line, without the `glm`, put right."""
    return typed_line(["glm", *corrected(words)])


def corrected(words: Sequence[str]) -> list[str]:
    """A command line, without the `glm`, with the names of its commands and options put right."""
    from typer.main import get_command

    from glmcli.cli import command_line

    command: Any = get_command(command_line())
    rest, line = [word.removeprefix(_MARK) for word in words], list[str]()
    while rest and (commands := getattr(command, "commands", None)):
        at, name = command_among(rest, list(commands), " ".join(["glm", *line]))
        if not name:
            return [*line, *rest]
        line += shlex.split(name)
        for word in shlex.split(name):
            command = getattr(command, "commands", {}).get(word, command)
        rest = [*rest[:at], *rest[at + 1 :]]
    return [*line, *arguments_right(command, " ".join(["glm", *line]), rest)]


def command_among(rest: Sequence[str], commands: Sequence[str], path: str) -> tuple[int, str]:
    """Where a command stands and what it is called here; "" if the first word is nothing near."""
    at = next((at for at, word in enumerate(rest) if word in commands), 0)
    if rest[at] in commands and all(word.startswith("-") for word in rest[:at]):
        return at, rest[at]
    return 0, nearest_command(rest[0], commands) or elsewhere(path, rest[0])


def nearest_command(word: str, commands: Sequence[str], cutoff: float = NEAR) -> str:
    """The command that a word is a slip for, or the beginning of; "" if there is none."""
    starts = [name for name in commands if len(word) >= _SHORTEST and name.startswith(word)]
    return starts[0] if len(starts) == 1 else nearest_word(word.lower(), commands, cutoff)


def elsewhere(path: str, word: str) -> str:
    """What a command of a group that has another name elsewhere is called here; "" if unclear."""
    known = str(OTHER_COMMANDS.get(path, {}).get(word.lower(), ""))
    found = re.fullmatch(rf"{path} ([a-z]+)(?: [A-Z]+)*", known) if path != "glm" else None
    return found[1] if found else ""


def arguments_right(command: Any, path: str, words: Sequence[str]) -> list[str]:
    """The arguments of a command, with its options and the values of these put right."""
    takers = value_flags(command)
    plain, options, line, rest = list[int](), list[str](), list[str](), list(words)
    has_taken = False
    while rest:
        word = rest.pop(0)
        _, joined, value = word.partition("=")
        if word == "--":
            line += [word, *rest]
            break
        if not word.startswith("-") or word == "-":
            plain.append(len(line))
            line.append(near_argument(word, path, len(plain)))
            continue
        after = value if joined else next(iter(rest), "")
        known = option_right(word, "" if after.startswith("-") else after, command, path)
        options = known.words
        if known.takes_next and not joined and rest:
            rest.pop(0)
        elif options[-1:] and options[-1] in takers and (joined or rest):
            value = value if joined else rest.pop(0)
            options = [*options, near_value(value, takers[options[-1]])]
            has_taken = has_taken or options[0] != word
        line += options
        while "--prompts" in options[-2:-1] and rest and rest[0].isdecimal():
            line[-1] = f"{line[-1].rstrip(',')},{rest.pop(0)}"
    if has_taken and path == "glm ask" and not plain and not {*WITHOUT_QUESTION} & {*line}:
        line = with_a_question(line, takers)
    return as_one_text(with_revision(line, path), plain, path)


def with_a_question(line: list[str], takers: Mapping[str, Any]) -> list[str]:
    """A line of `glm ask` whose last option took the only words: what it lacks in its place, which
    is the option's value where one word is more likely the question.
    """
    option, value = (["", *line])[-2:]
    sign = takers[option].metavar if option in takers else ""
    is_no_number = sign in ("N", "X") and not re.fullmatch(r"-?[0-9.,]+[a-z%]*", value)
    if is_no_number or (option in OF_TEXT and not value.split()[1:]):
        return [*line[:-1], sign, value]
    return [*line, "QUESTION"]


def option_right(word: str, value: str, command: Any, path: str) -> PutRight:
    """An option as it is, or put right if it is none of the command's."""
    flags, takers = flags_of(command), value_flags(command)
    name, joined, behind = word.partition("=")
    if word == "--resume=":
        return PutRight(["--resume"], takes_next=False)
    if name in flags and joined and name in takers:
        return PutRight([f"{name}={near_value(behind, takers[name])}"], takes_next=False)
    if name in flags:
        return PutRight([word], takes_next=False)
    known = put_right(name, value, command, path)
    if known is None or (joined and not known.words):
        return PutRight([word], takes_next=False) if known is None else known
    return known


def as_one_text(line: list[str], plain: Sequence[int], path: str) -> list[str]:
    """A line with the words of a last argument that is one text as one; TITLE where it lacks."""
    before = ONE_TEXT.get(path, len(plain))
    text = plain[before:]
    if path == "glm history rename" and len(plain) == 1:
        return [*line, "TITLE"]
    if not text[1:] or list(text) != list(range(text[0], text[-1] + 1)):
        return line
    return [*line[: text[0]], " ".join(line[text[0] : text[-1] + 1]), *line[text[-1] + 1 :]]


def with_revision(line: list[str], path: str) -> list[str]:
    """`--revision R ORG/NAME` of `glm models pull` as ORG/NAME@R."""
    at = next((at for at, word in enumerate(line) if word in ("--revision", "--tag")), -1)
    rest = [*line[:at], *line[at + 2 :]]
    if path != "glm models pull" or at < 0 or not line[at + 1 :] or len(rest) != 1:
        return line
    return [f"{rest[0]}@{line[at + 1]}"]


def near_argument(word: str, path: str, number: int) -> str:
    """The first argument of a command put right, if it is the name of a setting or of a role."""
    if number > 1:
        return word
    if path in ("glm config set", "glm config get", "glm config unset"):
        return near_setting(word)
    if path in OF_IDS:
        from glmcli.store.results import NEWEST

        return (newest_conversation() if word.lower() in NEWEST else "") or word
    if path in OF_MODELS:
        return nearest_word(word, (BUILT_IN_MODEL,)) or word
    if path == "glm roles show":
        from glmcli.conversation.roles import role_names

        return nearest_word(word, role_names()) or word
    return word


def near_value(value: str, option: Any) -> str:
    """A value put right, if an option takes only some, or it is nearly a built-in name."""
    names = getattr(option.type, "choices", None) or ()
    if option.name in setting_fields():
        names = setting_fields()[option.name].metadata.get("choices") or names
    if option.name == "model":
        names = (BUILT_IN_MODEL,)
    if option.name == "role":
        from glmcli.conversation.roles import role_names

        names = role_names()
    known = [str(getattr(name, "value", name)) for name in names]
    if value in known or not known:
        return value
    value_here = SHORT_FORMS.get(value.lower(), "") if option.name == "format" else ""
    return value_here if value_here in known else nearest_word(value.lower(), known) or value


def takes_one(command: Any) -> bool:
    """Whether a command has one argument and no more."""
    return [each.param_type_name for each in command.params].count("argument") == 1


def near_setting(word: str) -> str:
    """The name of a setting, put right, if it is one."""
    name, equals, value = word.partition("=")
    return f"{nearest_word(name, sorted(setting_fields())) or name}{equals}{value}"


def put_right(name: str, value: str, command: Any, path: str) -> PutRight | None:
    """What to type for an option that a command has not; None if that is not clear."""
    flags, takers = flags_of(command), value_flags(command)
    known = OF_ONE_COMMAND.get(path, {}).get(name) or OTHER_OPTIONS.get(name, "")
    for alike in (f"--{name.lstrip('-').replace('_', '-').lower()}", name[1:]):
        if alike in flags and len(name) > 2:
            return PutRight([alike], takes_next=False)
    if "--json" in flags and (value == "json" or known.startswith("--format")):
        return PutRight(["--json"], takes_next=value == "json" or known.endswith(" FORM"))
    if "--resume" in flags and is_conversation(value) and name != "--id":
        return PutRight(["--resume", value], takes_next=True)
    if name in OF_ARGUMENTS and value and takes_one(command) and not known_here(name, path):
        return PutRight([], takes_next=False)
    is_newest = path.startswith("glm history ") and takes_one(command)
    if is_newest and name in ("--last", "--latest") and (newest := newest_conversation()):
        return PutRight([newest], takes_next=False)
    if name == "--history" and "--no-save" in flags and value:
        is_off = value.lower() in OFF
        return PutRight(["--no-save"] if is_off else [], takes_next=True)
    flag, *behind = known.split() or [""]
    if flag in flags and "-" not in "".join(behind[1:2]):
        if flag not in takers:
            return PutRight([flag], takes_next=name in VALUED) if behind[:1] != ["or"] else None
        if _SIGN.fullmatch(behind[0]):
            return PutRight([flag, value], takes_next=True) if value else None
        return PutRight([flag, behind[0]], takes_next=name in VALUED) if not behind[1:] else None
    if known or name.lstrip("-").replace("-", "_") in setting_fields():
        return None
    if near := nearest_flag(name, [flag for flag in flags if flag.startswith("--")]):
        return PutRight([near], takes_next=False)
    return None


def known_here(name: str, path: str) -> bool:
    """Whether a table says what an option of another program is for this command."""
    asks = path in ("glm ask", "glm chat")
    return name in OF_ONE_COMMAND.get(path, {}) or (asks and name in OTHER_OPTIONS)


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
