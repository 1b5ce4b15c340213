"""What to type for a command that got too few or too many arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from glmcli.cli.hints.corrected import ONE_TEXT, meant_line
from glmcli.cli.hints.lines import typed_line
from glmcli.cli.hints.taking import flags_of, value_flags
from glmcli.language import tr

SHOWS = ("glm models list", "glm roles list")
"""Lists that take no name: another command shows one."""


def for_usage(context: Any, path: str, arguments: Sequence[str]) -> str:
    """The line that was meant, or else the whole form of the command."""
    if context is None:
        return ""
    words, options = plain_words(context.command, arguments[path.count(" ") :])
    if path == "glm config show" and words:
        return tr("glm config get {name} prints one", name=words[0])
    if path in SHOWS and len(words) == 1:
        line = typed_line([path.replace(" list", " show"), *words, *options])
        return tr("did you mean {near}?", near=line)
    if path == "glm history list" and len(words) == 1 and words[0].isdecimal():
        line = typed_line([path, "-n", str(int(words[0])), *options])
        return tr("did you mean {near}?", near=line)
    if words and f"--{words[-1]}" in flags_of(context.command):
        line = typed_line([path, *words[:-1], f"--{words[-1]}", *options])
        return tr("did you mean {near}?", near=line)
    before = ONE_TEXT.get(path, len(words))
    if words[before + 1 :]:
        text = " ".join(words[before:])
        line = meant_line([*path.split()[1:], *words[:before], text, *options])
        return tr("did you mean {near}?", near=line)
    if path == "glm bench" and "--prompts" in arguments:
        return tr("several sizes are one word: --prompts 100,1000")
    if path == "glm bench" and words[1:]:
        return tr("one model a run: {line}", line=typed_line([path, words[0], *options]))
    return whole_form(context, path, words, options)


def plain_words(command: Any, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments that are no options, and the options with their values."""
    takers = value_flags(command)
    words, options, rest = list[str](), list[str](), list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        options.append(word)
        if word in takers and rest:
            options.append(rest.pop(0))
    return words, options


def whole_form(
    context: Any, path: str, words: Sequence[str] = (), options: Sequence[str] = ()
) -> str:
    """How a command is typed, with what was typed, and where the names that it takes are listed."""
    pieces = context.command.collect_usage_pieces(context)
    pieces = [re.sub("[{}]", "", piece) for piece in pieces if piece != "[OPTIONS]"]
    is_named = {"NAME", "ID", "ID..."} & {piece.strip("[]") for piece in pieces[len(words) :]}
    typed = [shlex.quote(word) for word in words][: len(pieces)]
    pieces = [*typed, *pieces[len(typed) :], *map(shlex.quote, options)]
    line = " ".join([path, *pieces]).replace("NAME [VALUE]", "NAME VALUE")
    if path == "glm config set":
        line = line.replace("[VALUE]", "VALUE")
    hint = tr("write: {line}", line=line)
    group, _, command = path.rpartition(" ")
    if is_named and group in ("glm models", "glm history", "glm roles") and command != "pull":
        return tr("; ").join([hint, tr("{line} shows them", line=f"{group} list")])
    return hint
