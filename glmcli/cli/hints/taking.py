"""The options of a command, and which of them takes what stands behind it.

Looked at before any command runs: it imports nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

TYPED: list[tuple[Any, tuple[str, ...]]] = []
"""The command of this process, and its arguments as they were typed."""
ONCE = ("--each", "--skip-done", "--messages", "--prompt")
"""Options whose value is the user's text or file, of which none may be passed over."""
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d"
"""What editors make of hyphens."""


def flags_of(command: Any) -> list[str]:
    """The options of a command."""
    return [flag for each in command.params for flag in [*each.opts, *each.secondary_opts]]


def value_flags(command: Any) -> dict[str, Any]:
    """The options of a command that take a value, each with what is known of it."""
    options = (each for each in command.params if each.param_type_name == "option")
    return {flag: each for each in options if not each.is_flag for flag in each.opts}


WIDE_BLANK = re.compile("[\u00a0\u2002-\u200a\u3000]+")
"""Blanks of other scripts, at which no shell divides a line."""
PRINTED = {"“": "”", "‘": "’", "„": "”", "「": "」", "『": "』", "«": "»", "＂": "＂", "＇": "＇"}
"""Quotes that no shell reads."""
_OPTION = re.compile("([^=＝]*)([=＝]?)(.*)", re.DOTALL)
_WIDE_VALUE = re.compile(f"(--?[A-Za-z][A-Za-z-]*){WIDE_BLANK.pattern}")


def plain_option(word: str) -> str:
    """A word that begins with a dash as the option that it was, `--model=x` for `—model＝x`."""
    from glmcli.config.values import plain_signs

    typed, sign, value = _OPTION.fullmatch(word).groups()  # type: ignore[union-attr]
    name = plain_signs(typed.lstrip(f"-{DASHES}"))
    name = plain_signs(typed) if word[0] == "-" else f"{'--' if name[1:] else '-'}{name}"
    return f"{name}={value}" if sign else name


def plain_words(command: Any, words: Sequence[str]) -> list[str]:
    """A command line as a keyboard for English has it: with hyphens for dashes, divided at blanks
    of another script before options, and without the quotes of print.
    """
    right, closing = list[str](), ""
    for word in words:
        if closing:
            right[-1] += f" {word.removesuffix(closing)}"
            closing = "" if word.endswith(closing) else closing
            continue
        parts = WIDE_BLANK.split(word)
        if any(part[:1] in ("-", *DASHES) for part in parts[1:]) or _WIDE_VALUE.match(word):
            right += plain_words(command, parts)
            continue
        name, equals, value = word.partition("=") if word[:2] == "--" else ("", "", word)
        if value[:1] in PRINTED and (end := PRINTED[value[0]]) in " ".join(words):
            right.append(name + equals + value[1:].removesuffix(end))
            closing = "" if word.endswith(end) else end
        elif word[:1] in ("-", *DASHES):
            right.append(plain_option(word))
        else:
            right.append(word)
    return right


def typeset_word(command: Any, arguments: Sequence[str]) -> str:
    """A word of a line that only a typesetter would take for an option, or for the quoted value of
    one; "" if there is none.
    """
    odd, takers = (*DASHES, *PRINTED, "-"), value_flags(command)
    return next(
        (
            word
            for before, word in pairs_of(arguments)
            if word[:1] in odd or WIDE_BLANK.search(word)
            if is_typeset(command, word, before in takers)
        ),
        "",
    )


def pairs_of(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each word up to `--`, with the one before it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return pairwise(["", *arguments[:end]])


def is_typeset(command: Any, word: str, is_value: bool) -> bool:
    """Whether a word is one of these; `is_value` says that an option takes it."""
    value = word if is_value else word.partition("=")[2] if word[:2] == "--" else ""
    end = PRINTED.get(value[:1], "")
    if end and (end not in value[1:] or (value.endswith(end) and " " not in value)):
        return True
    if is_value:
        return False
    if word[:1] in (*DASHES,):
        return is_nearly_option(command, word)
    parts = WIDE_BLANK.split(word)[1:]
    if found := _WIDE_VALUE.match(word):
        return found[1] in flags_of(command)
    return any(part[:1] in ("-", *DASHES) and is_nearly_option(command, part) for part in parts)


def is_nearly_option(command: Any, word: str) -> bool:
    """Whether a word with hyphens in the place of its dash is an option of a command, or nearly."""
    from glmcli.cli.hints.line import nearest_word

    name = plain_option(word).partition("=")[0]
    flags = [*flags_of(command), "--help"]
    return name in flags or (len(name) > 5 and bool(nearest_word(name, flags, 0.85)))


def given_twice(command: Any, arguments: Sequence[str]) -> tuple[str, int] | None:
    """An option of which the last value would silently win, and how often it is there."""
    names = [word.partition("=")[0] for _, word in pairs_of(arguments)]
    flags = (flag for flag in flags_of(command) if flag in ONCE)
    return next(((flag, names.count(flag)) for flag in flags if names.count(flag) > 1), None)


def option_as_value(command: Any, arguments: Sequence[str]) -> tuple[str, str] | None:
    """An option that would take the next option for its value, and that; None if none would."""
    takers, flags = value_flags(command), flags_of(command)
    pairs = (pair for pair in pairs_of(arguments) if pair[0] in takers)
    return next((pair for pair in pairs if pair[1].partition("=")[0] in flags), None)


def long_as_short(command: Any, arguments: Sequence[str]) -> str:
    """A long option behind one hyphen, or the beginning of one, as `-sys`, of which a short option
    would take the rest for its value; "" if there is none.
    """
    takers, flags = value_flags(command), flags_of(command)
    return next(
        (
            name
            for before, word in pairs_of(arguments)
            if word[:2] in takers and before not in takers
            if (name := word.partition("=")[0])[2:].isalpha()
            if not name[3:] or any(flag.startswith(f"-{name}") for flag in flags)
        ),
        "",
    )


def number_behind_switch(command: Any, arguments: Sequence[str]) -> tuple[str, str] | None:
    """An option of a chat that takes no value, and the number behind it; None for other lines."""
    switches = {*flags_of(command)} - {*value_flags(command)} if command.name == "chat" else ()
    pairs = (pair for pair in pairwise(arguments) if pair[0] in switches)
    return next((pair for pair in pairs if pair[1].isdecimal()), None)
