"""Options made from the table of settings; and the prompt's way in: argument, stdin, file.

Knows nothing of engines or replies.
"""

from __future__ import annotations

import inspect
import math
import sys
import time
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

import typer

from glmcli.config import Settings, table
from glmcli.errors import UsageError
from glmcli.files import decoded
from glmcli.opening import opened_settings
from glmcli.paths import path_of
from glmcli.types import Conversation

FLAGS: dict[str, tuple[str, ...]] = {
    "model": ("-m", "--model"),
    "system": ("-s", "--system"),
    "think": ("--think/--no-think",),
    "history": ("--no-save",),
    "stats": ("--stats/--no-stats",),
    "fused": ("--fused/--no-fused",),
    "stop": ("--stop",),
}
"""Flags that are not simply the setting's name."""
SWITCHES = ("plain", "vi", "offline", "trust_remote_code", "debug", "verify", "speculate")
MODEL_OPTIONS = (
    "model",
    "base_url",
    "device",
    "dtype",
    "quantize",
    "attn",
    "fused",
    "verify",
    "speculate",
    "threads",
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
    "stats",
    "history",
    "debug",
)
STDIN_PATIENCE_S = 2.0


def with_settings(
    *names: str, needed: Collection[str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each named setting; it is called with the loaded `settings`.

    Other settings that it needs are found by its options, unless they are named.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [item for item in signature.parameters.values() if item.name != "settings"]
        parameters = own + [option(name) for name in names]

        def run(**typed: Any) -> None:
            options = {name: typed.pop(name) for name in names}
            options["history"] = False if options.get("history") else None
            options["stop"] = options.get("stop") or None
            uses = needed_by(names) if needed is None else needed
            command(settings=opened_settings(options, uses, model=model_of(typed)), **typed)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        return run

    return decorate


def needed_by(names: Collection[str]) -> Collection[str]:
    """The settings that matter to a command with these options: all, if it opens a model."""
    if "model" in names:
        return {*table(), "keys"}
    return {*names, "home", "cache", *(("api_key", "keys") if "base_url" in names else ())}


def model_of(typed: Mapping[str, Any]) -> str | None:
    """The model that a command's arguments bring along; "" for that of a conversation."""
    if typed.get("continue_") or typed.get("resume") is not None:
        return ""
    name: str | None = typed.get("name")
    return name


def option(name: str) -> inspect.Parameter:
    """The option of one setting. Its value stays text: `load_settings` checks all sources."""
    item = Settings.__dataclass_fields__[name]
    flags = FLAGS.get(name, (f"--{name.replace('_', '-')}",))
    help_text = item.metadata["help"]
    if item.metadata.get("choices"):
        help_text += f": {', '.join(item.metadata['choices'])}"
    kind: Any = str | None
    extra: dict[str, Any] = {"metavar": metavar(str(item.type))}
    if name in SWITCHES or name in ("think", "history", "stats", "fused"):
        kind, extra = bool | None, {}
        help_text = "write nothing to the history" if name == "history" else help_text
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


def metavar(kind: str) -> str:
    """What stands for an option's value in the help."""
    return "N" if "int" in kind else "X" if "float" in kind else "TEXT"


def read_prompt(argument: str | None, *, use_stdin: bool, say: Callable[[str], None]) -> str | None:
    """The prompt: the argument, stdin, or both with a blank line between; None if there is none.

    An argument "-" stands for stdin alone. `say` tells a person what is waited for. Raises
    UsageError.
    """
    piped = ""
    alone = argument in (None, "-")
    if sys.stdin is not None and use_stdin and (argument == "-" or not sys.stdin.isatty()):
        if sys.stdin.isatty():
            say("type the question; Ctrl-D ends the prompt")
        warning = "" if alone else "waiting for the end of stdin; --no-stdin ignores it"
        data = read_stdin(lambda: say(warning))
        piped = decoded(data, "stdin").rstrip("\r\n")
    if alone:
        return piped or None
    return f"{argument}\n\n{piped}" if piped else argument


def read_stdin(warn: Callable[[], None] = lambda: None) -> bytes:
    """All of stdin; `warn` is called if its end takes longer than two seconds to come.

    Raises UsageError.
    """
    from glmcli.terminal import tty

    deadline = time.monotonic() + STDIN_PATIENCE_S

    def is_stopped() -> bool:
        nonlocal deadline
        if time.monotonic() >= deadline:
            warn()
            deadline = math.inf
        return False

    return b"".join(iter(lambda: tty.read_stdin(is_stopped), b""))


def read_messages(source: str) -> Conversation:
    """The conversation in a JSON file, or on stdin for "-". Raises UsageError."""
    from glmcli import transcript

    if source != "-":
        return transcript.load(path_of(source))
    if sys.stdin is None:
        raise UsageError("stdin is closed", "name a file instead of -")
    return transcript.parse(decoded(read_stdin(), "stdin"))[0]
