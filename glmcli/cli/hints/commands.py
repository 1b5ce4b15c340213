"""What to type for a command that there is not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glmcli.cli.hints.corrected import meant_line, near_setting, nearest_command
from glmcli.cli.hints.elsewhere import EACH, EVERY_ONE, OTHER_COMMANDS
from glmcli.cli.hints.flags import for_option, in_the_chat, is_setting
from glmcli.cli.hints.known import group_of
from glmcli.cli.hints.lines import NEAR, SHOWN_LINE, filled, nearest_word, typed_line
from glmcli.cli.hints.taking import DASHES, flags_of, with_hyphens
from glmcli.language import tr
from glmcli.paths import is_file

SURELY = 0.8
"""How near a word must be to a command, where it may as well begin a question."""
MOST_OF_A_LINE = 3
"""Words of a line to type that ends without a sign: what is longer tells something."""
CLEARS = ("clear", "prune", "purge", "empty", "wipe")
DELETES = (*CLEARS, "rm", "remove", "del", "erase")
SAME = {
    **dict.fromkeys(("rm", "remove", "delete", "del"), "delete"),
    **dict.fromkeys(("show", "cat", "view", "print", "open"), "show"),
    **dict.fromkeys(("restore", "recover", "undelete"), "undelete"),
    **dict.fromkeys(("title", "name", "rename"), "rename"),
    **dict.fromkeys(("export", "dump", "backup"), "export"),
}
"""What is called so elsewhere, and what the groups here call it, if not all of them."""


def for_command(context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type for a command that there is not."""
    rest = [each for each in arguments if each != "--"][path.count(" ") :]
    word, names = rest[0], context.command.list_commands(context)
    if word[:1] in (*DASHES,):
        return for_dash(word, context, path, arguments)
    if path == "glm" and (hint := for_root(word, rest)):
        return hint
    if path == "glm roles" and (hint := of_role_file(word, rest[1:])):
        return hint
    is_of_all = bool({*rest[1:]} & {*EVERY_ONE}) or not rest[1:]
    if path == "glm history" and word in (CLEARS if not rest[1:] else DELETES) and is_of_all:
        return tr(EACH)
    if known := OTHER_COMMANDS.get(path, {}).get(word.lower()):
        return known_line(tr(known), rest[1:])
    called = OTHER_COMMANDS.get(path, {})
    question = meant_as_question(rest) if path == "glm" else ""
    cutoff = SURELY if question and len(rest) > 2 else NEAR
    if nearest_command(word, names, cutoff):
        return tr("did you mean {near}?", near=meant_line([*path.split()[1:], *rest]))
    if path == "glm" and (line := in_its_group(rest, question)):
        return tr("did you mean {near}?", near=line)
    if word.isalpha() and not rest[2:] and (near := nearest_word(word, list(called), SURELY)):
        return known_line(tr(called[near]), rest[1:])
    if not rest[2:] and (hint := in_the_chat(word, path)):
        return hint
    if path == "glm":
        return for_first_word(word, rest, question)
    if line := in_group(path, word, rest):
        return tr("did you mean {near}?", near=line)
    return tr("its commands are {names}", names=", ".join(names))


def for_dash(word: str, context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type for an option with a dash for its hyphens, where a command is expected."""
    right = [with_hyphens(each) if each[:1] in (*DASHES,) else each for each in arguments]
    option = with_hyphens(word).partition("=")[0]
    if option not in (*flags_of(context.command), "--help"):
        return for_option(option, context, path, right)
    return tr("did you mean {near}?", near=typed_line(["glm", *right]))


def for_root(word: str, rest: Sequence[str]) -> str:
    """What to type for words that mean several things, by what stands behind; "" for others."""
    is_of_all = {*rest[1:]} <= {"history", "chats", *EVERY_ONE} and (rest[1:] or word in CLEARS)
    if word in (*DELETES, "delete") and is_of_all:
        return tr(EACH)
    if word in ("set", "get", "unset") and rest[1:] and is_setting(rest[1].partition("=")[0]):
        return tr("did you mean {near}?", near=typed_line(["glm config", *rest]))
    if word in ("help", "hlep", "man") and rest[1:]:
        return tr("did you mean {near}?", near=meant_line([*rest[1:], "--help"]))
    if word in ("resume", "continue"):
        plain = [each for each in rest[1:] if each not in ("last", "--last")]
        words = ["chat", "--resume" if plain else "--continue", *plain]
        return tr("did you mean {near}?", near=meant_line(words))
    if word in SAME and (line := in_its_group([SAME[word], *rest[1:]], "")):
        return tr("did you mean {near}?", near=line)
    return ""


def in_its_group(rest: Sequence[str], question: str) -> str:
    """The line with the group whose command comes first; "" if that is unclear."""
    from typer.main import get_command

    from glmcli.cli import command_line

    root: Any = get_command(command_line())
    groups = {name: list(getattr(each, "commands", ())) for name, each in root.commands.items()}
    plain = [word for word in rest[1:] if not word.startswith("-")]
    named = group_of(plain[0]) if plain else ""
    others = {
        ("models", "delete"): "remove",
        ("config", "show"): "get",
        ("config", "delete"): "unset",
    }
    if other := others.get((named, rest[0])):
        return meant_line([named, other, *rest[1:]])
    if named and (near := nearest_command(rest[0], groups[named])):
        return meant_line([named, near, *rest[1:]])
    if (question and len(rest) > 2) or not rest[0].isalpha():
        return ""
    names = sorted({word for each in groups.values() for word in each})
    near = nearest_word(rest[0].lower(), names, SURELY)
    having = [name for name, each in groups.items() if near in each]
    if len(having) != 1 or (having == ["config"] and not near.startswith(("unset", "trust"))):
        return ""
    return meant_line([having[0], near, *rest[1:]])


def known_line(hint: str, words: Sequence[str]) -> str:
    """What another program's command is here, with the words that were typed behind it."""
    if not words:
        return hint
    return "; ".join(with_words(line, words) for line in hint.split("; "))


def with_words(line: str, words: Sequence[str]) -> str:
    """A command line with the words in the place of its last sign; another text as it is."""
    found = re.fullmatch(
        r"(glm [a-z][a-z -]*?)(?: (MODEL|[A-Z]+)| ID ID| ID TITLE| NAME VALUE)?", line
    )
    is_prose = found is not None and found[0] == found[1] and len(line.split()) > MOST_OF_A_LINE
    if not found or is_prose:
        return filled(line, words)
    return meant_line([*found[1].split()[1:], *words])


def of_role_file(word: str, names: Sequence[str]) -> str:
    """How a role is deleted or renamed: it is a file; "" for other commands, and other names."""
    from glmcli.conversation.roles import role_names, role_path

    if word not in ("delete", "remove", "rm", "rename", "mv") or not names:
        return ""
    name = names[0]
    if name not in role_names():
        return ""
    path = role_path(name)
    if path.is_file():
        words = ["rm", str(path)]
        if word in ("rename", "mv"):
            words = ["mv", str(path), str(path.with_name(f"{(*names, 'NAME')[1]}.md"))]
        return tr("a role is a file: {line}", line=" ".join(map(shlex.quote, words)))
    return tr(
        "{name} is built in and cannot be deleted; glm roles edit {name} makes one of your own",
        name=name,
    )


def in_group(path: str, word: str, rest: Sequence[str]) -> str:
    """The line that was meant where the command of a group was left out; "" if that is unclear."""
    if path == "glm config":
        if "=" in word and is_setting(near_setting(word).partition("=")[0]):
            return typed_line([path, "set", near_setting(word), *rest[1:]])
        return typed_line([path, "set" if rest[1:] else "get", *rest]) if is_setting(word) else ""
    if path == "glm history":
        looks_so = re.fullmatch(r"[0-9a-z-]{4,8}", word) and re.search("[0-9]", word)
        is_id = (looks_so or group_of(word) == "history") and not rest[1:]
        return typed_line([path, "show" if is_id else "search", " ".join(rest)])
    return typed_line([path, "show", word]) if not rest[1:] else ""


def for_first_word(word: str, rest: Sequence[str], question: str) -> str:
    """What to type where neither a command nor a slip for one comes first."""
    if re.fullmatch(r"/[a-z]+", word):
        return tr("/commands are typed inside glm chat; glm --help lists those of the shell")
    if len(rest) == 1 and is_file(Path(word)):
        return tr('a file goes with a question: glm ask "QUESTION" -a {name}', name=word)
    if word == "-" or word.startswith("@"):
        return tr("a question goes behind ask: {line}", line=typed_line(["glm", "ask", *rest]))
    is_word = word.isidentifier()
    if not is_word and re.fullmatch(r"[\w.~-]*[/:][\w./:@~-]*", word) and not rest[1:]:
        return tr("a model goes behind -m: {line}", line=typed_line(["glm", "chat", "-m", word]))
    if question:
        return tr("a question goes behind ask: {line}", line=f"glm ask {question}")
    if not rest[1:]:
        line = typed_line(["glm", "ask", word])
        return tr("glm --help lists the commands; a question goes behind ask: {line}", line=line)
    return ""


def meant_as_question(words: Sequence[str]) -> str:
    """What was typed in place of a command, quoted for the shell; "" if it was no question."""
    at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    text = " ".join(" ".join(words[:at]).split())
    if " " not in text or (words[at:] and " " not in words[0]):
        return ""
    text = shlex.quote(text if len(text) <= SHOWN_LINE else f"{text[:SHOWN_LINE]}…")
    return typed_line([text, *words[at:]])
