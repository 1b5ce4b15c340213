"""Every error a user can meet, drawn as a tree.

GlmError            1   one line for what happened, one line for what to do
  UsageError        2   the command line or a slash command is wrong
    ReplyTooLong        the reply was to have more tokens than one can have
  ConfigError       2   a setting is missing or malformed
  ModelError        3   the model cannot be found, loaded or trusted
  ContextFull       4   the prompt does not fit the window
  OutOfMemory       5   the model or the prompt does not fit the memory
  EngineError       6   the model could not answer
    ConnectionLost      the stream ended without an end
    ServerRefused       the server said no
  NoText            1   the model answered without a word, or with something other than text
  StoreError        1   the history could not be read or written
"""

from __future__ import annotations

from glmcli.harmless import as_told
from glmcli.language import tr


class GlmError(Exception):
    """What happened, in one line, and what to do about it, in one line."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        in_chat: str = "",
        again: bool = False,
        meant: tuple[str, str] | None = None,
    ) -> None:
        """`in_chat` is the hint where /commands run, if another; `again`: it may help to retry.

        `meant` is a word that is wrong, and the one that is near it: a hint by itself.
        """
        super().__init__(message)
        self.message = message
        self.meant = meant
        self.hint = hint or (tr("did you mean {near}?", near=meant[1]) if meant else "")
        self.in_chat = in_chat
        self.again = again
        self.is_in_output = False
        """Whether stdout tells of it already, or has a whole reply."""

    def advice(self, *, commands: bool = False) -> str:
        """What to do, in words for the place where they stand: whether /commands run there."""
        again = tr("/retry asks again") if commands else tr("ask again")
        hint = (self.in_chat if commands else "") or self.hint
        return tr("; ").join(filter(None, [again if self.again else "", hint]))


class UsageError(GlmError):
    """The command line or a slash command is wrong."""

    exit_code = 2


class ReplyTooLong(UsageError):
    """No reply of this model can have as many tokens as `--max-tokens` says.

    Whoever asked for a number of their own asks for less, and says nothing of the option.
    """

    most = 0
    """How many a reply can have, or a prompt and its reply."""


class ConfigError(GlmError):
    """A setting is missing or malformed."""

    exit_code = 2


class ModelError(GlmError):
    """The model cannot be found, loaded or trusted."""

    exit_code = 3


class ContextFull(GlmError):
    """The prompt does not fit the window, alone or beside the `output` that was asked for.

    Raised before any work is done. A number is None if a server does not say it.
    """

    exit_code = 4

    def __init__(
        self,
        needed: int | None,
        limit: int | None,
        output: int | None = None,
        *,
        is_set: bool = False,
        at_least: bool = False,
    ) -> None:
        """`is_set`: the limit is what --window says; `at_least`: nobody counted what is needed."""
        message = tr("the prompt is longer than the model's window")
        hint = tr("shorten the prompt, or use a model with a larger window")
        if limit is not None and needed is not None:
            message = too_long(needed, limit, is_set=is_set, at_least=at_least)
            if output is not None:
                message = tr(
                    "the prompt needs {needed:,} tokens and --max-tokens {output:,} more, but the"
                    " model's window holds {limit:,}",
                    needed=needed,
                    output=output,
                    limit=limit,
                )
                room = max(1, limit - needed)
                hint = tr("set --max-tokens to {n:,} at most, or leave it out", n=room)
            elif is_set:
                hint = tr("shorten the prompt, or set --window to more")
        elif output is not None:
            message = tr(
                "the prompt and --max-tokens {output:,} do not fit the model's window together",
                output=output,
            )
            if limit is not None:
                message = tr(
                    "the prompt and --max-tokens {output:,} do not fit the model's window of"
                    " {limit:,} tokens together",
                    output=output,
                    limit=limit,
                )
            hint = tr("set --max-tokens to less, or leave it out")
        elif limit is not None:
            message = tr(
                "the prompt is longer than the model's window of {limit:,} tokens", limit=limit
            )
        super().__init__(message, hint)
        self.needed = needed
        self.limit = limit
        self.output = output
        self.is_set = is_set
        self.at_least = at_least


def too_long(needed: int, limit: int, *, is_set: bool, at_least: bool) -> str:
    """What is said of a prompt that does not fit, with both numbers; see `ContextFull`."""
    if at_least:
        return tr(
            "the prompt needs {needed:,} tokens at least, but the window holds {limit:,}",
            needed=needed,
            limit=limit,
        )
    if is_set:
        return tr(
            "the prompt needs {needed:,} tokens, but --window is {limit:,}",
            needed=needed,
            limit=limit,
        )
    return tr(
        "the prompt needs {needed:,} tokens, but the model's window holds {limit:,}",
        needed=needed,
        limit=limit,
    )


class OutOfMemory(GlmError):
    """The model, or `what` was said to the user instead, does not fit the memory of the device."""

    exit_code = 5

    def __init__(self, needed: int | None, free: int | None, *, what: str = "") -> None:
        what = what or tr("the model")
        message = tr("{what} does not fit into memory", what=what)
        if needed is not None and free is not None:
            message = tr(
                "{what} needs about {needed:.1f} GB of memory; {free:.1f} GB is free",
                what=what,
                needed=needed / 1e9,
                free=free / 1e9,
            )
        super().__init__(message, tr("use a smaller model, --dtype bfloat16, or --device auto"))
        self.needed = needed
        self.free = free


class EngineError(GlmError):
    """The model could not answer."""

    exit_code = 6


class ConnectionLost(EngineError):
    """The stream stopped without saying that it ended."""


class ServerRefused(EngineError):
    """The server answered, and said no."""

    wait_s: float | None = None
    """In how many seconds it can be asked the same again, 0 if it did not say; None: not at all."""


class NoText(GlmError):
    """The model answered without a word, or with something other than text, as a refusal."""


class StoreError(GlmError):
    """The history could not be read or written."""


def told_error(error: GlmError, *, commands: bool = False) -> tuple[str, str]:
    """The line and the hint of an error as they leave the program; `commands` as for `advice`."""
    return as_told(error.message), as_told(error.advice(commands=commands))


def error_lines(error: GlmError, *, commands: bool = False) -> str:
    """An error as it is shown where there are no colours."""
    line, hint = told_error(error, commands=commands)
    return f"glm: {line}\n" + (tr("hint: {hint}", hint=hint) + "\n" if hint else "")


def first_line(exc: BaseException) -> str:
    """The start of what a library says when it fails, for a message of one line."""
    if type(exc) is KeyError and exc.args:  # its text is the key alone
        return tr("{key!r} is missing", key=str(exc.args[0])[:100])
    lines = (str(exc).strip() or type(exc).__name__).splitlines()
    if lines[0].endswith(":") and len(lines) > 1:  # the reason comes below
        lines[0] += f" {lines[1].strip()}"
    return lines[0][:200]
