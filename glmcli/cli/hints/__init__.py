"""What to do about a command line that is wrong: the line that was meant, as far as that is clear.

Typer says what is wrong; this package what to type. A line is read leniently (`commands`,
`options`, `values`, `words`), put right whole, and offered only if the real parser takes it
(`meant`). It knows nothing of what commands do, and imports its parts when there is something
wrong: every command passes through here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from glmcli.cli.hints.taking import (
    TYPED,
    given_twice,
    long_as_short,
    number_behind_switch,
    option_as_value,
    typeset_word,
)
from glmcli.errors import UsageError
from glmcli.language import tr


def check_typed(context: Any, arguments: Sequence[str]) -> None:
    """Keep what was typed. Raises UsageError where an option would take the next for its value, has
    a dash for its hyphens, or one hyphen for two; the line that was meant is found by `run`.
    """
    TYPED[:] = [(context.command, tuple(arguments))]
    command = context.command
    help_line = tr("{command} --help shows what can be typed", command=context.command_path)
    if word := typeset_word(command, arguments):
        raise UsageError(tr("{word} is not how that is typed here", word=word), help_line)
    if name := long_as_short(command, arguments):
        raise UsageError(tr("No such option: {name}", name=name), help_line)
    if found := number_behind_switch(command, arguments):
        line = tr("{option} takes no {n}", option=found[0], n=found[1])
        ids = tr("glm history list shows the ids that --resume takes; behind -- all words are text")
        raise UsageError(line, ids)
    if twice := given_twice(command, arguments):
        several = tr("put them together: cat FILE FILE | glm ask --each -")
        line = tr("{option} takes one file, not {n}", option=twice[0], n=twice[1])
        if twice[0] == "--prompt":
            line = tr("{option} takes one text, not {n}", option=twice[0], n=twice[1])
        raise UsageError(line, several if twice[0] == "--each" else tr("say one"))
    if found := option_as_value(command, arguments):
        from glmcli.cli.hints.meant import for_value

        line = tr("{option} has no value before {next}", option=found[0], next=found[1])
        raise UsageError(line, for_value(found[0], command))


def usage_hint(exc: Exception, arguments: Sequence[str]) -> str:
    """What to type in place of a command line that Typer refused."""
    from glmcli.cli.hints.meant import for_kind, meant_hint

    context = getattr(exc, "ctx", None)
    path = context.command_path if context else "glm"
    if path == "glm" and arguments and context is None:
        path = f"glm {arguments[0]}"
    hint = meant_hint(arguments) or for_kind(exc)
    return hint or tr("{command} --help shows what can be typed", command=path)


def in_whole_line(meant: tuple[str, str] | None, arguments: Sequence[str]) -> str:
    """The line that was meant where a command refused one: with what is near the `meant` word in
    its place, or without the option that it is; "" if that is unclear.
    """
    from glmcli.cli.hints.meant import meant_hint

    word, near = meant or ("", "")
    hint = meant_hint(arguments)
    if not word or (near and hint and word not in hint):
        return hint
    if word and not near:
        names = (word, word[1:3])
        line = meant_hint([each for each in arguments if each not in names], arguments, bare=True)
        return tr("leave {option} out: {line}", option=word, line=line) if line else ""
    form = re.compile(rf"((?:-.*=)?@?(?:\./)?){re.escape(word)}(/*|=.*)", re.DOTALL)
    wrong = {each: found for each in arguments if (found := form.fullmatch(each))}
    typed = next(iter(wrong), "")
    if len(wrong) != 1 or arguments.count(typed) > 1:
        return ""
    right = f"{wrong[typed][1]}{near}{wrong[typed][2]}"
    return meant_hint([right if each == typed else each for each in arguments], arguments)
