"""What to type for an option whose value is missing, or none that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from glmcli.cli.hints.corrected import SHORT_FORMS, meant_line
from glmcli.cli.hints.known import is_conversation
from glmcli.cli.hints.lines import named_command, typed_line
from glmcli.cli.hints.taking import DASHES, TYPED, value_flags, with_hyphens
from glmcli.config import setting_fields
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.paths import is_file

_SHORT = {"-m": "model", "-s": "system"}


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


def for_no_value(name: str, arguments: Sequence[str]) -> str:
    """What to type for an option that takes no value, and got one."""
    value = next((word.partition("=")[2] for word in arguments if word.startswith(f"{name}=")), "")
    if name == "--continue" and value:
        line = swapped(arguments, {f"{name}={value}": ["--resume", value]})
        return tr("did you mean {near}?", near=line)
    line = swapped(arguments, {f"{name}={value}": [name]})
    return tr("leave the value out: {option}", option=line if value else name)


def swapped(arguments: Sequence[str], others: Mapping[str, list[str]]) -> str:
    """The command line with other words in the place of some."""
    return meant_line([new for word in arguments for new in others.get(word, [word])])


def of_option(name: str, command: Any) -> str:
    """The same for an option that is no setting."""
    for each in command.params:
        if name in each.opts:
            words = getattr(each.type, "choices", None) or [each.metavar or "VALUE"]
            value = "|".join(map(str, words))
            return tr("write {option} {value}: {what}", option=name, value=value, what=each.help)
    return ""


def for_choice(value: str, names: str, option: str, path: str, arguments: Sequence[str]) -> str:
    """What to type for a value that is none of those that an option takes."""
    import re
    from difflib import get_close_matches

    words = re.findall(r"'(.+?)'", names)
    if path == "glm ask" and "-f" in arguments and is_file(Path(value)):
        return tr("-a {name} sends a file; -f is the form of the reply", name=value)
    if option and len(words) == 1:
        return tr("write {option} {word}", option=option, word=words[0])
    typed, value = value, SHORT_FORMS.get(value.lower(), value.lower())
    near = get_close_matches(value, words, n=1, cutoff=0.5)
    if not near:
        return tr("choose one of these")
    joined = [word for word in arguments if word[:1] == "-" and word.endswith(f"={typed}")]
    others = {word: [f"{word.partition('=')[0]}={near[0]}"] for word in joined}
    line = swapped(arguments, {typed: near[:1], **others})
    return tr("did you mean {near}?", near=line)


def for_number(param: Any) -> str:
    """What to type for an option that takes a whole number."""
    low = getattr(param.type, "min", None)
    line = tr("write {option} N: {what}", option=param.opts[-1], what=param.help)
    if low is None:
        return line
    return tr(", ").join([line, tr("at least {low}", low=low)])


def no_value(option: str, after: str, path: str) -> UsageError:
    """The error where an option stands in the place of another one's value."""
    return UsageError(
        tr("{option} has no value before {next}", option=option, next=after),
        for_value(option, path.split()[1:]),
    )


def no_hyphens(word: str, path: str, arguments: Sequence[str]) -> UsageError:
    """The error for an option whose hyphens an editor has made a dash."""
    right = [with_hyphens(each) if each[:1] in (*DASHES,) else each for each in arguments]
    return UsageError(
        tr("{word} begins with a dash; an option has hyphens", word=word),
        tr(
            "did you mean {near}? Behind -- all words are text",
            near=meant_line([*path.split()[1:], *right]),
        ),
    )


def taken_prompt() -> str:
    """What to type where an option has taken the only words for its value; "" if none has."""
    command, words = TYPED[-1] if TYPED else (None, ())
    takers = value_flags(command) if words else {}
    for word in words:
        if word.startswith("--resume=") and word != "--resume=":
            return of_resume(word.partition("=")[2])
    for option, value in pairwise(words):
        if option == "--resume":
            return of_resume(value)
        if option in takers and option in ("--stop", "--system", "-s"):
            return tr(
                "{value} went to {option}; behind that goes the question: glm ask {option} TEXT "
                '"QUESTION"',
                value=value,
                option=option,
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
