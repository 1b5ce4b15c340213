"""What to do about a command line that is wrong: the line that was meant, as far as that is clear.

Typer says what is wrong; this module what to type. Knows nothing of what commands do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from glmcli.cli.hints.elsewhere import OTHER_COMMANDS, OTHER_OPTIONS
from glmcli.config import setting_fields
from glmcli.language import tr
from glmcli.paths import is_file

SHOWN_LINE = 60
"""Characters of a command line that are repeated."""
NEAR = 0.7
"""How much of a word must be that of another, to be a slip for it."""
SURELY = 0.8
"""The same where the word may as well begin a question."""
SHARING = {"glm ask": "chat", "glm chat": "ask"}
"""Commands that share most options."""
_SHORT = {"-m": "model", "-s": "system"}
OF_COMMANDS = ("-m", "-s", "-c", "-a", "-q", "-f", "--continue", "--resume", "--file", "--quiet")
"""Options of chat and ask beside the settings."""


def usage_hint(exc: Exception, arguments: Sequence[str]) -> str:
    """What to type in place of a command line that Typer refused."""
    context = getattr(exc, "ctx", None)
    path = context.command_path if context else "glm"
    if path == "glm" and arguments and context is None:
        path = f"glm {arguments[0]}"
    kind = type(exc).__name__
    words = getattr(exc, "message", "") or ""
    hint = ""
    if kind == "NoSuchOption":
        hint = for_option(str(getattr(exc, "option_name", "")), context, path, arguments)
    elif words.startswith("No such command"):
        hint = for_command(context, path, arguments)
    elif "takes a value" in words or "does not take a value" in words:
        hint = tr("leave the value out: {option}", option=getattr(exc, "option_name", ""))
    elif "requires an argument" in words:
        hint = for_value(str(getattr(exc, "option_name", "")), arguments)
    elif kind == "MissingParameter" or "extra argument" in words:
        hint = for_usage(context, path, arguments)
    elif (found := re.search(r"'(.+)' is not one of (.+)", words)) and context:
        option = next(iter(getattr(getattr(exc, "param", None), "opts", ())), "")
        hint = for_choice(found[1], found[2], option, path, arguments)
    return hint or tr("{command} --help shows what can be typed", command=path)


def for_option(name: str, context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type for an option that there is not."""
    if path == "glm" and is_of_commands(name):
        return behind_command(arguments)
    flags = flags_of(context.command)
    known = OTHER_OPTIONS.get(name, "")
    meant = known.split(" ")[0] if known.startswith("--") else name
    other = SHARING.get(path, "")
    if other and meant not in flags and meant in flags_of(named_command([other])):
        line = f"glm {other} {known or name}"
        return tr("{command} has no such option; {line} has", command=path, line=line)
    if known:
        return tr(known)
    near = nearest_flag(name, [flag for flag in flags if flag.startswith("--")])
    return tr("did you mean {near}?", near=near) if near else ""


def named_command(arguments: Sequence[str]) -> Any:
    """The command that a command line names."""
    from typer.main import get_command

    from glmcli.cli import command_line

    command: Any = get_command(command_line(arguments[0]))
    for word in arguments:
        command = getattr(command, "commands", {}).get(word, command)
    return command


def flags_of(command: Any) -> list[str]:
    """The options of a command."""
    return [flag for each in command.params for flag in [*each.opts, *each.secondary_opts]]


def is_of_commands(name: str) -> bool:
    """Whether an option is one of chat and ask."""
    return name in OF_COMMANDS or is_setting(name)


def is_setting(name: str) -> bool:
    """Whether a word, or an option, is the name of a setting."""
    return name.lstrip("-").replace("-", "_") in setting_fields()


def behind_command(arguments: Sequence[str]) -> str:
    """What to type where options stand before the command."""
    command = next((each for each in ("ask", "chat") if each in arguments), "")
    rest = list(arguments)
    if command:
        rest.remove(command)
        return tr("options go behind the command: {line}", line=typed_line(["glm", command, *rest]))
    return tr("options go behind a command: {line}", line=typed_line(["glm", "chat", *rest]))


def nearest_flag(name: str, flags: Collection[str]) -> str:
    """The flag that a wrong one is a slip for, short for, or longer than; "" if there is none."""
    starts = [flag for flag in flags if len(name) > 4 and flag.startswith(name)]
    longer = [flag for flag in flags if name.startswith(f"{flag}-")]
    for found in (starts, longer):
        if len(found) == 1:
            return found[0]
    near = difflib.get_close_matches(name, sorted(flags), n=1, cutoff=NEAR)
    return near[0] if near else ""


def for_command(context: Any, path: str, arguments: Sequence[str]) -> str:
    """What to type for a command that there is not."""
    rest = list(arguments[path.count(" ") :])
    word = rest[0]
    if path == "glm" and word in ("set", "get", "unset") and rest[1:] and is_setting(rest[1]):
        return tr("did you mean {near}?", near=typed_line(["glm config", *rest]))
    if known := OTHER_COMMANDS.get(path, {}).get(word):
        return tr(known)
    question = meant_as_question(rest) if path == "glm" else ""
    cutoff = SURELY if question and len(rest) > 2 else NEAR
    if near := nearest_word(word, context.command.list_commands(context), cutoff):
        return tr("did you mean {near}?", near=typed_line([path, near, *rest[1:]]))
    if path == "glm":
        return for_first_word(word, rest, question)
    if path == "glm config" and is_setting(word):
        command = "set" if rest[1:] else "get"
        return tr("did you mean {near}?", near=typed_line([path, command, *rest]))
    if path == "glm history":
        is_id = re.fullmatch(r"[0-9a-f-]{4,}", word) and not rest[1:]
        near = typed_line([path, "show" if is_id else "search", *rest])
        return tr("did you mean {near}?", near=near)
    return ""


def nearest_word(word: str, names: Collection[str], cutoff: float) -> str:
    """The name that a word is a slip for; two letters in the wrong order are one."""
    for name in names:
        if sorted(name) == sorted(word):
            return name
    near = difflib.get_close_matches(word, names, n=1, cutoff=cutoff)
    return near[0] if near else ""


def for_first_word(word: str, rest: Sequence[str], question: str) -> str:
    """What to type where neither a command nor a slip for one comes first."""
    if re.fullmatch(r"/[a-z]+", word):
        return tr("/commands are typed inside glm chat; glm --help lists those of the shell")
    if len(rest) == 1 and is_file(Path(word)):
        return tr('a file goes with a question: glm ask "QUESTION" -a {name}', name=word)
    is_word = word.isidentifier()
    if not is_word and re.fullmatch(r"[\w.~-]*[/:][\w./:@~-]*", word) and not rest[1:]:
        return tr("a model goes behind -m: {line}", line=typed_line(["glm", "chat", "-m", word]))
    if question:
        return tr("a question goes behind ask: {line}", line=f"glm ask {question}")
    return ""


def meant_as_question(words: Sequence[str]) -> str:
    """What was typed in place of a command, quoted for the shell; "" if it was no question."""
    import shlex

    text = " ".join(" ".join(words).split())
    has_options = any(word.startswith("-") for word in words)
    if " " not in text or text.startswith("-") or (has_options and " " not in words[0]):
        return ""
    return shlex.quote(text if len(text) <= SHOWN_LINE else f"{text[:SHOWN_LINE]}…")


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
            return tr("write {option} {value}: {what}", option=name, value=value, what=each.help)
    return ""


def for_usage(context: Any, path: str, arguments: Sequence[str]) -> str:
    """The whole form of a command that got too few or too many arguments."""
    if context is None:
        return ""
    if path == "glm config show" and arguments[2:]:
        return tr("glm config get {name} prints one", name=arguments[2])
    pieces = context.command.collect_usage_pieces(context)
    pieces = [re.sub("[{}]", "", piece) for piece in pieces if piece != "[OPTIONS]"]
    line = " ".join([path, *pieces]).replace("NAME [VALUE]", "NAME VALUE")
    hint = tr("write: {line}", line=line)
    group, _, command = path.rpartition(" ")
    is_named = {"NAME", "ID", "ID..."} & {piece.strip("[]") for piece in pieces}
    if is_named and group in ("glm models", "glm history") and command != "pull":
        return tr("; ").join([hint, tr("{line} shows them", line=f"{group} list")])
    return hint


def for_choice(value: str, names: str, option: str, path: str, arguments: Sequence[str]) -> str:
    """What to type for a value that is none of those that an option takes."""
    words = re.findall(r"'(.+?)'", names)
    if path == "glm ask" and "-f" in arguments and is_file(Path(value)):
        return tr("-a {name} sends a file; -f is the form of the reply", name=value)
    if option and len(words) == 1:
        return tr("write {option} {word}", option=option, word=words[0])
    near = difflib.get_close_matches(value, words, n=1, cutoff=0.5)
    return tr("did you mean {near}?", near=near[0]) if near else tr("choose one of these")


def typed_line(words: Sequence[str]) -> str:
    """A command line as it is typed, cut if it is long."""
    import shlex

    head, *rest = words
    line = " ".join([head, *map(shlex.quote, rest)])
    return line if len(line) <= SHOWN_LINE + 20 else f"{line[: SHOWN_LINE + 20]}…"
