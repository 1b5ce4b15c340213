"""Which command a line is of, where it names none, another program's, or one in another place."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from glmcli.cli.hints.elsewhere import BACK, COMMANDS_ELSEWHERE, EVERY_ONE
from glmcli.cli.hints.known import (
    group_of,
    has_input,
    in_the_chat,
    is_conversation,
    looks_like_id,
    names_model,
    without_id,
)
from glmcli.cli.hints.line import (
    NEAR,
    elsewhere,
    filled,
    known_elsewhere,
    names_table,
    nearest_word,
    of_each,
    reason,
    words_in,
)
from glmcli.cli.hints.taking import flags_of, value_flags
from glmcli.cli.hints.tree import command_at, commands_of, whole_command
from glmcli.config import setting_fields
from glmcli.config.servers import key_host
from glmcli.language import later, tr
from glmcli.paths import is_file

SURELY = 0.8
"""How near a word must be to a command, where it may as well begin a question."""
START_LETTERS = 3
"""Letters of a command's start that say which one it is."""
BEFORE = later("options go behind the command: {line}")
ALONE = later("options go behind a command: {line}")
ASKED = later("a question goes behind ask: {line}")
OF_MODEL = later("a model goes behind -m: {line}")
OF_FILE = later("a file goes with a question: {line}")
MEANT = later("did you mean {near}?")
FILED = later("write: {line}")
OF_LAST = (["-n", "1"], ["-n1"], ["-1"], ["-c"], ["-r"])
"""What stands behind a log elsewhere for the last entry of it."""
PROGRAMS = ("glm", "glm.exe", "./glm", "$", "ollama", "llm", "llama-cli", "llama-server", "openai")
"""Names of programs, which stand before a whole line."""
VERBS = ("set", "add", "get", "list", "ls", "show", "remove", "rm", "install", "path")
"""What is behind the name of something that there is not, where that is no question."""
CLEARS = ("clear", "prune", "purge", "empty", "wipe")
_SLASH = later("/commands are typed inside glm chat; glm --help lists those of the shell")
DELETES = (*CLEARS, "rm", "remove", "del", "erase", "delete")
_FOR_ALL = {"show": "glm history list --all", "export": "glm history export", "undelete": BACK}


class Told(Exception):
    """What to say where no line is meant."""


class Found(NamedTuple):
    """A command and what is behind it."""

    path: list[str]
    rest: list[str]
    lead: str
    """How the line is introduced."""


def found_command(tokens: Sequence[str], path: Sequence[str] = (), lead: str = MEANT) -> Found:
    """The command that a line is meant for. Raises Told."""
    path, rest = [*path], [*tokens]
    while commands := commands_of(command := command_at(path)):
        front, words = split_front(rest, commands)
        if not words:
            return without_command(path, front, command, lead)
        word, option = words[0], front[0].lstrip("-") if front else ""
        if option in commands and option:
            rest = [option, *front[1:], *words]
            continue
        if word not in commands and (not path or word not in ("--help", "-h")):
            # Each turn is nearer to a command that there is.
            right = meant_command(path, front, words)
            lead = right.lead or lead
            path, rest = right.path, right.rest
            continue
        is_asking = [*path, word] in (["ask"], ["chat"], ["bench"])
        if front:
            lead = BEFORE
        path.append(word)
        rest = [*front, *words[1:]] if is_asking else [*words[1:], *front]
        if path == ["history"] and {*words[2:]} & {*EVERY_ONE}:
            check_every_one(words[1:])
    return Found(path, rest, lead)


def check_every_one(words: Sequence[str]) -> None:
    """Raise Told where all conversations are meant, with no word but that behind the command."""
    plain = [word for word in words[1:] if not word.startswith("-") or word in EVERY_ONE]
    if len(plain) == 1:
        if words[0] in DELETES:
            raise Told(of_each(words))
        if words[0] in _FOR_ALL and plain[0] not in ("--all", "-a"):
            raise Told(tr(_FOR_ALL[words[0]]))


@cache
def our_takers() -> frozenset[str]:
    """The options that take a value at any command."""
    commands = [whole_command(), *commands_of(whole_command()).values()]
    commands += chain.from_iterable(commands_of(each).values() for each in [*commands])
    return frozenset(chain.from_iterable(map(value_flags, commands))) - {"--plain"}


@cache
def all_takers() -> frozenset[str]:
    """The same, and those of other programs."""
    theirs = (name for name, (_, takes) in elsewhere("glm *").items() if takes)
    return our_takers() | {*theirs}


def split_front(
    tokens: Sequence[str], commands: Sequence[str] | dict[str, Any]
) -> tuple[list[str], list[str]]:
    """The options before the first word, with their values; and the rest from there."""
    at = 0
    while at < len(tokens) and tokens[at][:1] == "-" and tokens[at] not in ("-", "--"):
        name = tokens[at]
        is_slip = len(name) > 4 and bool(nearest_word(name, our_takers(), SURELY))
        takes = name in all_takers() or is_slip
        takes = takes and at + 1 < len(tokens)
        is_value = takes and tokens[at + 1][:1] != "-" and tokens[at + 1] not in commands
        at += 2 if is_value else 1
    rest = [*tokens[at:]]
    return [*tokens[:at]], rest[1:] if rest[:1] == ["--"] else rest


def without_command(path: list[str], front: list[str], command: Any, lead: str) -> Found:
    """The command that options without one are for. Raises Told."""
    names = [word.partition("=")[0] for word in front if word.startswith("-")]
    if {*names} & {"--help", "-h"} or not front:
        return Found(path, ["--help"], lead)
    if not path:
        if names[0].lstrip("-") in commands_of(command):
            return found_command([names[0].lstrip("-"), *front[1:]])
        known = elsewhere("glm").get(names[0]) or known_elsewhere(names[0], "glm")
        if known and known[0].startswith(("glm ", "--version")) and len(front) == 1:
            return Found([], known[0].removeprefix("glm ").split(), lead)
        if near := nearest_word(names[0].lower(), [*flags_of(command), "--help"]):
            return Found([], [near if word == names[0] else word for word in front], lead)
        in_chat = flags_of(command_at(["chat"]))
        is_ask = names[0] in flags_of(command_at(["ask"])) and names[0] not in in_chat
        is_ask = is_ask or bool(known and {*known[0].split(" | ")} & {"X", "{X}", "!BODY"})
        return Found(["ask"] if is_ask else ["chat"], front, ALONE)
    commands, word, rest = commands_of(command), names[0].lstrip("-"), front[1:]
    listed = commands.get("list")
    if listed and names[0] in flags_of(listed):
        return Found([*path, "list"], front, BEFORE)
    if word in commands or word in aliases(" ".join(["glm", *path])):
        return found_command([word, *rest], path, lead)
    is_l = word[:1] == "l" and not rest
    return Found(
        [*path, "list" if "list" in commands else "show"],
        [] if is_l else front,
        lead if is_l else BEFORE,
    )


@cache
def aliases(path: str) -> dict[str, str]:
    """The names elsewhere of a group's commands -> what to type."""
    known = names_table(COMMANDS_ELSEWHERE).get(path, {})
    return {name: line for names, line in known.items() for name in names.split()}


def group_named(word: str) -> str:
    """The group that a word names, here or elsewhere; "" for others."""
    groups = [name for name, each in commands_of(whole_command()).items() if commands_of(each)]
    return aliases("groups").get(word.lower()) or nearest_word(word.lower(), groups, SURELY)


def meant_command(path: list[str], front: list[str], words: list[str]) -> Found:
    """The words with a command that there is in front, or nearer to one. Raises Told."""
    word, behind = words[0], words[1:]
    if not path:
        return at_root(word, behind, front)
    group = " ".join(["glm", *path])
    is_of_all = bool({*behind} & {*EVERY_ONE}) or not behind
    if path == ["history"] and word in CLEARS and behind and not is_of_all:
        return Found(path, ["delete", *behind, *front], "")
    if path == ["history"] and word in (CLEARS if not behind else DELETES) and is_of_all:
        raise Told(of_each(behind))
    if path == ["roles"] and (hint := of_role_file(word, behind)):
        raise Told(hint)
    if line := aliases(group).get(word.lower()):
        return by_alias(line, [*behind, *front])
    if near := nearest_command(word, [*commands_of(command_at(path))]) or nearest_word(
        word, list(aliases(group)), SURELY
    ):
        return Found(path, [near, *behind, *front], "")
    if word in ("help", "?"):
        return Found([*path, *behind[:1]], ["--help"], "")
    return in_group(path[0], word, [*words, *front])


def at_root(word: str, behind: list[str], front: list[str]) -> Found:
    """The same at `glm` itself, in the order in which a word is more surely one thing."""
    rest = [*behind, *front]
    if word.lower() in PROGRAMS and behind:
        line = aliases(word.lower()).get(behind[0])
        return by_alias(line, rest[1:]) if line else Found([], rest, "")
    if word == "curl" and any("://" in each for each in behind):
        return Found(["ask"], rest, "")
    named = {each for each in behind if each[:1] != "-" or each in EVERY_ONE}
    if word in DELETES and named <= {"history", "chats", *EVERY_ONE} and (named or word in CLEARS):
        raise Told(of_each(behind))
    if word in ("help", "hlep", "man") and behind:
        return found_command([*behind, "--help"])
    if re.fullmatch(r"[/:][a-z?]+", word):
        raise Told(in_the_chat(word[1:], behind) or tr(_SLASH))
    if word in ("resume", "continue"):
        plain = [each for each in behind if each not in ("last", "--last")]
        is_id = bool(plain) and (word == "resume" or looks_like_id(plain[0]))
        return Found(["chat"], ["--resume" if is_id else "--continue", *plain, *front], "")
    question = words_in(behind) > 1 and word.isalpha()
    if behind and behind[0] in commands_of(whole_command()) and word in ("start", "launch"):
        return Found([], rest, "")
    if word in ("log", "logs") and behind in OF_LAST:
        return Found(["history"], ["show", "last"], "")
    group = group_named(word)
    has = bool(group and behind and names_command(behind[0], group))
    if group and (has or not question):
        default = ["show" if group == "config" else "list"]
        if group == "config" and behind:
            default = ["set"] if behind[1:] else ["get"]
        is_alone = word in aliases("groups") and not has
        is_log = word in ("log", "logs") and (is_alone or behind[0] in ("list", "ls", "last"))
        rest = [*(default if is_alone else []), *rest, *(["--all"] if is_log else [])]
        return Found([], [group, *rest], "")
    if behind and (group := group_named(behind[0])) and names_command(word, group):
        return Found([], [group, word, *behind[1:], *front], "")
    if found := of_known_object(word, behind, front):
        return found
    cutoff = SURELY if question else NEAR
    names = [*commands_of(whole_command())]
    line = aliases("glm").get(word.lower(), "")
    is_of_none = line[:1] == "!" and bool(behind) and behind[0] in VERBS
    if line and (is_of_none or is_line(line) or not (behind[2:] or front)):
        return by_alias(line, rest)
    if near := nearest_command(word, names, cutoff):
        return Found([], [near, *rest], "")
    if not question or not behind:
        if group := only_group_of(word):
            return Found([], [group, word, *rest], "")
        if word.isalpha() and not behind[1:] and not front:
            if near := nearest_word(word, list(aliases("glm")), SURELY):
                return by_alias(aliases("glm")[near], rest)
            if hint := in_the_chat(word):
                raise Told(hint)
    return for_first_word(word, behind, front)


def is_line(text: str) -> bool:
    """Whether an entry of a table is one command line."""
    return bool(re.fullmatch(r"glm (?:--)?[a-z][a-z -]*(?: (?:-m )?[A-Z]+)*(?: -n 1)?", text)) and (
        text.split()[1] in commands_of(whole_command()) or text.split()[1].startswith("-")
    )


def names_command(word: str, group: str) -> bool:
    """Whether a word is a command of a group, here or elsewhere, or nearly."""
    names = [*commands_of(command_at([group])), *aliases(f"glm {group}")]
    return word.lower() in names or bool(nearest_word(word.lower(), names, SURELY))


def of_known_object(word: str, behind: list[str], front: list[str]) -> Found | None:
    """A command without its group, before the name of something there is; None for others."""
    plain = behind[: words_in(behind)]
    named = group_of(plain[0]) if plain else ""
    if named and not names_command(word, named):
        word = "show" if named == "history" and not plain[1:] else ""
    return Found([named], [word, *behind, *front], "") if named and word else None


def only_group_of(word: str) -> str:
    """The one group that has a command which a word is, or is nearly; "" if several have, or none.

    `get`, `set` and `trust` of config are told from words only where a setting is behind them.
    """
    if not word.isalpha():
        return ""
    groups = {name: commands_of(each) for name, each in commands_of(whole_command()).items()}
    names = sorted({name for each in groups.values() for name in each})
    near = nearest_word(word.lower(), names, SURELY)
    having = [name for name, each in groups.items() if near in each]
    is_config = having == ["config"] and not near.startswith(("unset", "trust", "untrust"))
    return having[0] if len(having) == 1 and not is_config else ""


def nearest_command(word: str, commands: Sequence[str], cutoff: float = NEAR) -> str:
    """The command that a word is a slip for, or the beginning of; "" if there is none."""
    starts = [name for name in commands if len(word) >= START_LETTERS and name.startswith(word)]
    return starts[0] if len(starts) == 1 else nearest_word(word.lower(), commands, cutoff)


def by_alias(text: str, rest: list[str]) -> Found:
    """The line that a table has for a command, with the words behind it. Raises Told."""
    if text == "!KEYS" and (host := next(filter(None, map(key_host, rest)), "")):
        raise Told(tr("glm config set {name} keeps its key", name=f"keys.{host}"))
    if text.startswith("!"):
        raise Told(reason(text))
    named = [word for word in rest if word[:1] != "-"]
    if not is_line(text := without_id(text, named)):
        raise Told(filled(text, named))
    words = [word for word in text.split()[1:] if not word.isupper()]
    if text.startswith("glm --") and rest:
        raise Told(tr("leave {option} out: {line}", option=" ".join(rest), line=text))
    if text.startswith("glm --"):
        return Found([], words, "")
    if words[-1].startswith("-") and text.split()[-1].isupper():
        *words, name = words
        front, behind = split_front(rest, ())
        if words == ["ask"] and not has_input() and all(each[0] == "-" for each in behind[1:]):
            words = ["chat"]
        return Found([], [*words, *front, name, *(behind or [text.split()[-1]])], "")
    return Found([], [*words, *rest], "")


def in_group(group: str, word: str, words: list[str]) -> Found:
    """The line that was meant where the command of a group was left out. Raises Told."""
    plain = words[: words_in(words)]
    if plain[1:] and plain[1].lower() in command_names(group):
        return Found([group], [plain[1], word, *words[2:]], "")
    if group == "config":
        name = word.partition("=")[0].lstrip("-").replace("-", "_").lower().removeprefix("glm_")
        if near := nearest_word(name, sorted(setting_fields())):
            typed = word.replace(word.partition("=")[0], near)
            return Found(
                [group], ["set" if plain[1:] or "=" in word else "get", typed, *words[1:]], ""
            )
    elif group == "history":
        looks_so = re.fullmatch(r"[0-9a-z-]{4,8}", word) and re.search("[0-9]", word)
        if not plain[1:] and word.isdecimal() and len(word) < START_LETTERS:
            return Found([group], ["list", "-n", *words], "")
        if any(map(is_conversation, plain[1:])):
            raise Told(tr("its commands are {names}", names=", ".join(command_names(group))))
        is_id = (looks_so or group_of(word) == "history") and not plain[1:]
        return Found([group], ["show" if is_id else "search", *words], "")
    elif not plain[1:]:
        return Found([group], ["show", *words], "")
    raise Told(tr("its commands are {names}", names=", ".join(command_names(group))))


def command_names(group: str) -> list[str]:
    """The commands of a group."""
    return [*commands_of(command_at([group]))]


def of_role_file(word: str, names: Sequence[str]) -> str:
    """How a role is deleted or renamed: it is a file; "" for other commands, and other names."""
    from glmcli.conversation.roles import role_names, role_path

    if word not in ("delete", "remove", "rm", "rename", "mv") or not names:
        return ""
    name = names[0]
    if name not in role_names():
        return ""
    path = role_path(name)
    if is_file(path):
        words = ["rm", str(path)]
        if word in ("rename", "mv"):
            words = ["mv", str(path), str(path.with_name(f"{(*names, 'NAME')[1]}.md"))]
        return tr("a role is a file: {line}", line=" ".join(map(shlex.quote, words)))
    return tr(
        "{name} is built in and cannot be deleted; glm roles edit {name} makes one of your own",
        name=name,
    )


def for_first_word(word: str, behind: list[str], front: list[str]) -> Found:
    """The line where neither a command nor a slip for one comes first: a question most likely."""
    plain = behind[: words_in(behind)]
    is_path = re.fullmatch(r"[\w.~-]*[/:][\w./:@~-]*", word) or names_model(word)
    if is_file(Path(word)) and not plain:
        return Found(["ask"], ["QUESTION", "-a", word, *behind, *front], OF_FILE)
    if (is_path and not plain) or names_model(word):
        return Found(["ask" if plain else "chat"], ["-m", word, *behind, *front], OF_MODEL)
    if not front and not behind and word.isidentifier() and not is_path:
        said = "glm --help lists the commands; a question goes behind ask: {line}"
        raise Told(tr(said, line=f"glm ask {shlex.quote(word)}"))
    has_file = any(each.startswith("@") for each in [word, *plain])
    texts = [word, *plain] if has_file or behind[len(plain) :] else [" ".join([word, *plain])]
    return Found(["ask"], [*front, *texts, *behind[len(plain) :]], ASKED)
