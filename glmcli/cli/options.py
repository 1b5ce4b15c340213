"""Options made from the table of settings; and the prompt's way in: argument, stdin, file.

Knows nothing of engines or replies.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.cli.completion.candidates import if_asked, mentioned_files, models, option_values
from glmcli.cli.dialog import tell_links
from glmcli.cli.settings import opened_settings
from glmcli.config import Settings, choices, setting_fields
from glmcli.errors import UsageError
from glmcli.files import decode_text
from glmcli.language import ntr, tr
from glmcli.paths import LARGEST_MESSAGE, check_prompt, is_file, path_of

if TYPE_CHECKING:
    from glmcli.types import Conversation, Message

FLAGS: dict[str, tuple[str, ...]] = {
    "model": ("-m", "--model"),
    "system": ("-s", "--system"),
    "think": ("--think/--no-think",),
    "history": ("--no-save",),
    "stats": ("--stats/--no-stats",),
    "fused": ("--fused/--no-fused",),
    "speculate": ("--speculate/--no-speculate",),
    "stop": ("--stop",),
}
"""Flags that are not simply the setting's name."""
SWITCHES = ("vi", "offline", "trust_remote_code", "debug", "verify")
MODEL_OPTIONS = (
    "model",
    "adapter",
    "base_url",
    "device",
    "dtype",
    "quantize",
    "attn",
    "fused",
    "verify",
    "speculate",
    "threads",
    "window",
    "template",
    "timeout",
    "offline",
    "trust_remote_code",
)
REPLY_OPTIONS = (
    "system",
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "max_tokens",
    "stop",
    "seed",
    "context",
    "think",
    "thinking",
    "plain",
    "width",
    "stats",
    "history",
    "debug",
)
OF_SERVING = frozenset({"host", "serve_key"})
"""Settings that only a command with `--host` has to do with."""
PromptWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PROMPT] [@FILE]...",
        help=tr("the question; files that go with it"),
        autocompletion=if_asked(mentioned_files),
    ),
]
ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL", help=tr("the same as --model"), autocompletion=if_asked(models)
    ),
]
OF_CHATS = frozenset({"warm", "vi", "notify"})
"""Settings that a single question, a bench and a server have nothing to do with."""
GIVEN = ("settings", "load")
"""Parameters of a command that are not its user's."""
Load = Callable[..., Settings]
"""Called with the `role`, if there is one; see `opened_settings`."""
STDIN_PATIENCE_S = 2.0
AS_IT_IS = "\0"
"""Stands before an argument in which no `@` names a file."""


def with_settings(
    *names: str, needed: Collection[str] | None = None, changes: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each named setting; it is called with the loaded `settings`.

    A command with a parameter `load` in place of it calls that for them, when it knows that its own
    arguments are right. Other settings that it needs are found by its options, unless they are
    named; `changes` says that it may change its model.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [item for item in signature.parameters.values() if item.name not in GIVEN]
        is_late = "load" in signature.parameters
        parameters = own + [option(name) for name in names]

        def run(**typed: Any) -> None:
            options = {name: typed.pop(name) for name in names}
            options["history"] = False if options.get("history") else None
            options["stop"] = options.get("stop") or None
            uses = needed_by(names) if needed is None else needed
            load = partial(
                opened_settings, options, uses, model=argument_model(typed), changes=changes
            )
            command(**{"load": load} if is_late else {"settings": load()}, **typed)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        return run

    return decorate


def needed_by(names: Collection[str]) -> Collection[str]:
    """The settings that matter to a command with these options: all, if it opens a model."""
    if "model" in names:
        serving = set() if "host" in names else OF_SERVING
        return {*setting_fields(), "keys"} - serving - (set() if "vi" in names else OF_CHATS)
    return {*names, "home", "cache", *(("api_key", "keys") if "base_url" in names else ())}


def argument_model(typed: Mapping[str, Any]) -> str | None:
    """The model that a command's arguments bring along; "" for that of a conversation."""
    if typed.get("continue_") or typed.get("resume") is not None:
        return ""
    name: str | None = typed.get("name")
    return name


def option(name: str) -> inspect.Parameter:
    """The option of one setting. Its value stays text: `load_settings` checks all sources."""
    item = Settings.__dataclass_fields__[name]
    flags = FLAGS.get(name, (f"--{name.replace('_', '-')}",))
    help_text = tr(item.metadata["help"])
    if item.metadata.get("choices"):
        help_text += f": {', '.join(item.metadata['choices'])}"
    kind: Any = str | None
    extra: dict[str, Any] = {
        "metavar": metavar(name, str(item.type)),
        "autocompletion": if_asked(option_values(name)),
    }
    if name in SWITCHES or name in ("think", "history", "stats", "fused", "speculate"):
        kind, extra = bool | None, {}
        help_text = tr("write nothing to the history") if name == "history" else help_text
    elif name == "stop":
        kind = list[str] | None
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            kind, typer.Option(*flags, help=help_text, show_default=False, **extra)
        ],
    )


def metavar(name: str, kind: str) -> str:
    """What stands for an option's value in the help."""
    if kind == "Seconds":
        return "TIME"
    if name == "plain":
        return "[on|reader]"
    return "N" if "int" in kind else "X" if "float" in kind else "TEXT"


def is_file_named(word: str) -> bool:
    """Whether an argument is `@` and the path of a file, a folder or a pattern."""
    if not word.startswith("@") or word == "@":
        return False
    from glmcli.conversation.several import is_there

    return is_there(word[1:]) or os.path.lexists(word[1:])  # who reads it says what it is


def split_prompt(
    words: Sequence[str], files: Sequence[str], *, say: Callable[[str], None]
) -> tuple[str | None, list[str]]:
    """The prompt among the arguments, and the names of the files that go with it.

    An argument that is `@` and the path of a file, a folder or a pattern names that, and no other
    `@` does: `say` tells of it. Behind `--` there is none. Several words are one prompt. Raises
    UsageError.
    """
    names, prompts = [*files], []
    for word in words:
        if is_file_named(word):
            names.append(word[1:])
        else:
            prompts.append(word)
    from glmcli.cli.hints.files import check_words, not_attached

    check_named(files, prompts)
    check_words(prompts)
    if not prompts:
        return None, names
    say(not_attached(" ".join(word for word in prompts if not word.startswith(AS_IT_IS)), names))
    return " ".join(word.removeprefix(AS_IT_IS) for word in prompts), names


def check_named(files: Sequence[str], prompts: Sequence[str]) -> None:
    """Raise UsageError where a shell made several files of a pattern: -a takes one."""
    for word in prompts if files else ():
        if is_file(Path(word)):
            raise UsageError(
                tr("{name} is a file, but no -a stands before it", name=word),
                tr("a pattern needs quotes: -a 'src/*.py'; @FILE attaches one more"),
            )


def as_it_is(arguments: Sequence[str]) -> list[str]:
    """The command line, the words behind `--` as one text, with a mark if it holds an `@`.

    Typer tells of no `--`. No argument of a program can hold the mark, a NUL character.
    """
    at = arguments.index("--") + 1 if "--" in arguments else len(arguments)
    if not arguments[at:]:
        return list(arguments)
    text = " ".join(arguments[at:])
    return [*arguments[:at], AS_IT_IS + text if "@" in text else text]


def with_values(arguments: Sequence[str], typing: str = "-") -> list[str]:
    """`--resume` and `--plain` may stand alone: give them a value then.

    A word behind `--plain` is its value only if it can be one, or become one: `typing` is a word
    that is still being typed behind them.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    values, result = choices("plain"), []
    for at, (word, after) in enumerate(pairwise([*arguments[:end], typing]), start=1):
        is_typed = at == len(arguments) and any(value.startswith(after) for value in values)
        if word == "--resume" and after.startswith("-"):
            word = "--resume="
        elif word == "--plain" and after not in values and not is_typed:
            word = "--plain=on"
        result.append(word)
    return [*result, *arguments[end:]]


def with_files(question: str | Message | None, files: list[str]) -> str | Message:
    """A question with the files that go with it. Raises UsageError if there is nothing in it."""
    from glmcli.conversation.attachments import join_files
    from glmcli.types import Message

    if isinstance(question, Message):
        return replace(question, text=join_files(question.text, files))
    text = join_files(question or "", files)
    check_prompt(text)
    return text


def read_piped(argument: str | None, *, use_stdin: bool, say: Callable[[str], None]) -> str:
    """What stdin brings to the prompt; an argument "-" stands for stdin alone.

    `say` tells a person what is waited for. Raises UsageError.
    """
    if sys.stdin is None or not use_stdin or (argument != "-" and sys.stdin.isatty()):
        return ""
    alone = argument in (None, "-")
    how = tr("type the question; Ctrl-D ends the prompt")
    warning = "" if alone else tr("waiting for the end of stdin; --no-stdin ignores it")
    data = typed_or_piped(how, say, lambda: say(warning))
    text = decode_text(data, "stdin").rstrip("\r\n")
    if data and not text and not alone:
        say(tr("stdin holds blank lines only: nothing of it goes with the question"))
    if text and not alone:
        say(
            ntr(
                "stdin goes with the question ({n:,} line); --no-stdin ignores it",
                "stdin goes with the question ({n:,} lines); --no-stdin ignores it",
                text.count("\n") + 1,
            )
        )
    return text


def with_piped(argument: str | None, piped: str) -> str | None:
    """The prompt: the argument, stdin, or both with a blank line between; None if there is none."""
    if argument in (None, "-"):
        return piped or None
    return f"{argument}\n\n{piped}" if piped else argument


def typed_or_piped(how: str, say: Callable[[str], None], warn: Callable[[], None]) -> bytes:
    """All of stdin; on a terminal `say` tells `how` it is typed. See `read_all_stdin`."""
    from glmcli.terminal.reading import shown_again

    how = how if sys.stdin.isatty() else ""
    with shown_again(lambda: say(how)):
        say(how)
        return read_all_stdin(LARGEST_MESSAGE, warn)


def read_all_stdin(limit: int, warn: Callable[[], None] = lambda: None) -> bytes:
    """All of stdin; `warn` is called if that takes longer than two seconds.

    Raises UsageError, for more than `limit` bytes too.
    """
    from glmcli.terminal import reading

    deadline = time.monotonic() + STDIN_PATIENCE_S

    def is_stopped() -> bool:
        nonlocal deadline
        if time.monotonic() >= deadline:
            warn()
            deadline = math.inf
        return False

    data = bytearray()
    while piece := reading.read_stdin(is_stopped):
        data += piece
        reading.check_size(len(data), limit)
    return bytes(data)


def read_messages(source: str) -> Conversation:
    """The conversation in a JSON file, or on stdin for "-". Raises UsageError."""
    from glmcli.conversation import transcript

    if source != "-":
        path = path_of(source)
        tell_links(path)
        return transcript.load_conversation(path)
    if sys.stdin is None:
        raise UsageError(tr("stdin is closed"), tr("name a file instead of -"))
    data = read_all_stdin(transcript.LARGEST_FILE)
    return transcript.parse_conversations(decode_text(data, "stdin"), empty=True)[0]
