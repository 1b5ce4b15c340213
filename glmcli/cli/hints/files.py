"""What to type for a file that is not there, or a word that is not sent as what it names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from glmcli.cli.hints.known import in_the_chat, is_conversation, names_model
from glmcli.cli.hints.line import typed_line
from glmcli.cli.hints.taking import TYPED
from glmcli.config.values import OFF, ON
from glmcli.conversation.typed import Line, untyped_line
from glmcli.errors import UsageError
from glmcli.files import dangling, near_path
from glmcli.language import later, tr
from glmcli.paths import is_file, is_folder, path_of
from glmcli.store.results import NEWEST

_WHOLE_ID = re.compile(r"[0-9a-hjkmnp-tv-z]{8}")
_EXTENSION = re.compile(r"[^\s./]\.[A-Za-z][A-Za-z0-9]{0,4}$")
AS_WORD = later("{word} is sent as a word; @{name} alone, or -a {name}, sends it")
MOST_WORDS = 50
"""So many words of a prompt are looked at for the name of a file."""


def no_such_file(name: str) -> UsageError:
    """The error for an argument that is `@` and this name, if it names nothing."""
    from glmcli.conversation.several import is_pattern

    hint = tr("@FILE or -a FILE attaches one; behind -- all words are text")
    if not name:
        return UsageError(tr("there is no name after the @"), hint)
    if is_pattern(name):
        return UsageError(tr("no file matches {pattern}", pattern=name), hint)
    if target := dangling(path_of(name)):
        line = tr("{name} is a link to {target}, which is not there", name=name, target=target)
        return UsageError(line, hint)
    near = near_path(path_of(name))
    line = tr("{word} is not a file", word=name)
    return UsageError(line, meant=(name, near)) if near else UsageError(line, hint)


def check_words(prompts: Sequence[str]) -> None:
    """Raise UsageError for a word of a prompt that is more than a word, and wrong."""
    for word in prompts:
        if not prompts[1:] and is_lone_model(word):
            raise UsageError(
                tr("{name} is a model, and no question", name=word),
                tr("behind -- all words are text"),
            )
        is_alone = not word.split()[1:] or names_with_blanks(word[1:])
        if word.startswith("@") and (prompts[1:] or word != "@") and is_alone:
            raise no_such_file(word[1:])
        if word == "-" and prompts[1:]:
            raise UsageError(
                tr("- is stdin alone, and there is a prompt beside it"),
                tr("leave out the -: what is piped goes with the prompt"),
            )


def names_with_blanks(text: str) -> bool:
    """Whether a text of several words is the name of a file: by its end, or its folder is there."""
    from glmcli.conversation.attachments import untyped_mentions

    if "\n" in text or next(untyped_mentions(untyped_line(f"@{text}")), ""):
        return False
    path = path_of(text)
    return bool(_EXTENSION.search(text)) or ("/" in text and is_folder(path.parent))


def not_attached(prompt: str, sent: Sequence[str]) -> str:
    """What to say of a prompt that names a file, since an argument is text; "" for most.

    `sent` are the names of files that go with it.
    """
    from glmcli.conversation.attachments import file_in, mention_of, untyped_mentions, wide_mentions

    if found := next(untyped_mentions(untyped_line(prompt)), ""):
        from shlex import quote

        path = file_in(found[1:]) or Path(found[1:])
        return tr(
            "{mention} inside the prompt is text; -a {path} sends the file",
            mention=mention_of(path) or found,
            path=quote(str(path)),
        )
    if line := of_conversation(prompt) or before_option(prompt):
        return line
    words = (word for word in prompt.split()[:MOST_WORDS] if "." in word.strip("."))
    name = next((word for word in words if word not in sent and is_file(Path(word))), "")
    wide = next(wide_mentions(Line(prompt)), "")
    return (
        tr(AS_WORD, word=f"＠{wide}" if wide else name, name=wide or name) if wide or name else ""
    )


def before_option(prompt: str) -> str:
    """What to say where a prompt begins with what most likely belongs to an option: its value, more
    words of it, or the name of a model; "" for all others.
    """
    command, arguments = TYPED[-1] if TYPED else (None, ())
    word, *rest = prompt.split(maxsplit=1) or [""]
    option = next((one for one, other in pairwise(arguments) if other == word), "")
    if option == "-c" and word.isdecimal():
        return tr("{n} is sent as a word; --window {n} would set the window", n=word)
    stop = next((one for one, other in pairwise(arguments) if other == option), "")
    if stop == "--stop" and is_like_stop(option, word, rest, arguments):
        line = typed_line(["glm", "ask", "--stop", option, "--stop", word, *(rest or ["QUESTION"])])
        return tr(
            "{word} is sent as a word; each stop has its own --stop: {line}", word=word, line=line
        )
    is_said = word.isalpha() and word.lower() in ON | OFF
    is_newest = option in ("-c", "--continue") and word in NEWEST
    if option[:1] == "-" and (is_said or is_newest) and rest:
        return tr("{word} is sent as a word: {option} takes no value", word=word, option=option)
    if word[:1] == "/" and rest and in_the_chat(word[1:]) and word in arguments:
        return tr("{word} is sent as a word; an option begins with --", word=word)
    if value := unquoted_system(str(getattr(command, "name", "")), arguments):
        return tr(
            "the system prompt is {value} alone, the other words are sent; quotes hold words "
            "together",
            value=value,
        )
    if not is_lone_model(word):
        return ""
    line = typed_line(["glm", str(getattr(command, "name", "ask")), "-m", word, *rest])
    return tr("{name} is sent as a word; {line} takes it for the model", name=word, line=line)


def is_lone_model(word: str) -> bool:
    """Whether a word was typed that can hardly be anything but a model, in a line that has none."""
    words = TYPED[-1][1] if TYPED else ()
    return word in words and not {"-m", "--model", "--"} & {*words} and names_model(word)


def is_like_stop(stop: str, word: str, rest: Sequence[str], arguments: Sequence[str]) -> bool:
    """Whether the word behind a stop is more likely a second one than the question's first."""
    is_sign = not any(map(str.isalnum, word)) or word[:1] in ("<", "[", "\\")
    is_quoted = " " not in word and any(" " in each and each in rest for each in arguments)
    return is_sign or len(word) == len(stop) == 1 or is_quoted


def unquoted_system(command: str, arguments: Sequence[str]) -> str:
    """A system prompt of one word of a script with blanks, with more words behind it than a
    question of one; "" if there is none.
    """
    at = next((at for at, word in enumerate(arguments) if word in ("-s", "--system")), -2) + 1
    value, behind = arguments[at] if at > 0 else "", [*arguments[at + 1 :]]
    count = next((n for n, word in enumerate(behind) if word[:1] in ("-", "@")), len(behind))
    is_word = value.isascii() and value.isalpha() and not any(" " in each for each in behind[:2])
    return value if is_word and count > (command != "chat") else ""


def of_conversation(prompt: str) -> str:
    """What to say where a prompt begins with the whole id of a conversation; "" for all others."""
    word, _, rest = prompt.partition(" ")
    if not _WHOLE_ID.fullmatch(word) or not is_conversation(word):
        return ""
    name = str(TYPED[-1][0].name) if TYPED else "chat"
    line = typed_line(["glm", name, "--resume", word, *filter(None, [rest])])
    return tr("{id} is a conversation, sent as a word; {line} goes on with it", id=word, line=line)
