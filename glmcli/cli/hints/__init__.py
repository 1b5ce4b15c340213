"""What to do about a command line that is wrong: the line that was meant, as far as that is clear.

Typer says what is wrong; this package what to type. A line is read leniently (`commands`,
`options`, `values`, `words`), put right whole, and offered only if the real parser takes it
(`meant`). It knows nothing of what commands do, and imports its parts when there is something
wrong: every command passes through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glmcli.cli.hints.taking import (
    TYPED,
    long_as_short,
    number_behind_switch,
    option_as_value,
    typeset_word,
)


def check_typed(context: Any, arguments: Sequence[str]) -> None:
    """Keep what was typed. Raises UsageError where an option would take the next for its value, has
    a dash for its hyphens, or one hyphen for two.
    """
    TYPED[:] = [(context.command, tuple(arguments))]
    if word := typeset_word(context.command, arguments):
        from glmcli.cli.hints.lacking import typeset

        raise typeset(word, context, arguments)
    if name := long_as_short(context.command, arguments):
        from glmcli.errors import UsageError
        from glmcli.language import tr

        words = [*context.command_path.split()[1:], *arguments]
        raise UsageError(tr("No such option: {name}", name=name), in_whole_line(None, words))
    if found := number_behind_switch(context.command, arguments):
        from glmcli.cli.hints import lacking

        raise lacking.number_behind(*found, arguments)
    if found := option_as_value(context.command, arguments):
        from glmcli.cli.hints.lacking import no_value

        raise no_value(*found, context.command_path)


def usage_hint(exc: Exception, arguments: Sequence[str]) -> str:
    """What to type in place of a command line that Typer refused."""
    from glmcli.cli.hints.lacking import for_kind
    from glmcli.cli.hints.meant import meant_hint
    from glmcli.language import tr

    context = getattr(exc, "ctx", None)
    path = context.command_path if context else "glm"
    if path == "glm" and arguments and context is None:
        path = f"glm {arguments[0]}"
    hint = meant_hint(arguments) or for_kind(exc, context, path, arguments)
    return hint or tr("{command} --help shows what can be typed", command=path)


def in_whole_line(meant: tuple[str, str] | None, arguments: Sequence[str]) -> str:
    """The line that was meant where a command refused one: with what is near the `meant` word in
    its place, or without the option that it is; "" if that is unclear.
    """
    from glmcli.cli.hints.meant import meant_hint
    from glmcli.language import tr

    word, near = meant or ("", "")
    hint = meant_hint(arguments)
    if not word or (near and hint and word not in hint):
        return hint
    if word and not near:
        names = (word, word[1:3])
        line = meant_hint([each for each in arguments if each not in names], arguments, bare=True)
        return tr("leave {option} out: {line}", option=word, line=line) if line else ""
    whole, joined = (word, f"@{word}"), (f"={word}", f"=@{word}")
    wrong = [
        each
        for each in arguments
        if each in whole
        or each.startswith(f"{word}=")
        or (each.startswith("-") and each.endswith(joined))
    ]
    if len(wrong) != 1:
        return ""
    if wrong[0].startswith(f"{word}="):
        right = near + wrong[0].removeprefix(word)
    else:
        right = wrong[0].removesuffix(word) + near
    return meant_hint([right if each == wrong[0] else each for each in arguments], arguments)
