"""The options of `glm ask --each`, and which others go with them. Imported at each start.

Knows nothing of what is done with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glmcli.cli.completion.candidates import file_paths, if_asked
from glmcli.errors import UsageError
from glmcli.language import later, tr

if TYPE_CHECKING:
    from glmcli.cli.options import Load

MOST_AT_ONCE = 256
EACH_OPTIONS: dict[str, Any] = {
    "each": Annotated[
        str | None,
        typer.Option(
            "--each",
            metavar="FILE",
            help=tr("ask each line of FILE, or of stdin (-); the answers are lines of JSON"),
            autocompletion=if_asked(file_paths),
        ),
    ],
    "prompt": Annotated[
        str | None,
        typer.Option(
            "--prompt",
            metavar="TEXT",
            help=tr("--each: what to ask, {{text}} is the line, {{name}} a field of its JSON"),
        ),
    ],
    "unordered": Annotated[
        bool, typer.Option("--unordered", help=tr("--each: answers as they come"))
    ],
    "skip_done": Annotated[
        str | None,
        typer.Option(
            "--skip-done",
            metavar="OUT",
            help=tr("--each: add answers to OUT; skip lines that it answers already"),
            autocompletion=if_asked(file_paths),
        ),
    ],
    "parallel": Annotated[
        int | None,
        typer.Option(
            "--parallel",
            metavar="N",
            min=1,
            max=MOST_AT_ONCE,
            help=tr("--each: ask a server N lines at a time"),
        ),
    ],
}
"""Name of a parameter -> its option."""
REFUSED: dict[str, tuple[str, str]] = {
    "continue_": ("-c", later('"messages" of a line are the turns before its question')),
    "resume": ("--resume", later('"messages" of a line are the turns before its question')),
    "long": ("--long", later("cut the text into lines, or ask for each file alone")),
    "last_code": ("-x", later("the code is in the text of each answer")),
    "code": ("--code", later("the code is in the text of each answer")),
}
"""Name of a parameter of `ask` that says nothing for many lines -> its flag, and what to do."""
TAKEN_FORMS = (None, "json", "jsonl")
"""Forms of `ask` that JSON lines are taken for."""


@dataclass(frozen=True, slots=True)
class EachOptions:
    """What was typed for `--each`."""

    source: str
    prompt: str | None
    unordered: bool
    skip_done: str | None
    parallel: int | None


def with_each(command: Callable[..., None]) -> Callable[..., None]:
    """Give `ask` the options of `--each`, and call it where that is not asked for."""
    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name == "unordered" else None,
            annotation=kind,
        )
        for name, kind in EACH_OPTIONS.items()
    ]

    def run(load: Load, **typed: Any) -> None:
        given = {name: typed.pop(name) for name in EACH_OPTIONS}
        source = given.pop("each")
        if source is None:
            check_none(given)
            command(load=load, **typed)
            return
        check_fitting(typed, is_stdin=source == "-")
        from glmcli.cli.asking.each.command import ask_each

        ask_each(load, EachOptions(source, **given), typed)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    parameters = [*signature.parameters.values(), *added]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    return run


def check_none(given: dict[str, Any]) -> None:
    """Raise UsageError for an option that is nothing without `--each`."""
    for name, value in given.items():
        if value not in (None, False):
            flag = f"--{name.replace('_', '-')}"
            hint = tr("--each FILE asks each line of a file")
            if name == "prompt":
                hint = tr('a single question needs no option: glm ask "why is the sky blue?"')
            raise UsageError(tr("{option} goes with --each", option=flag), hint)


def check_fitting(typed: dict[str, Any], *, is_stdin: bool) -> None:
    """Raise UsageError for an option of `ask` that says nothing of many lines."""
    refused = [
        (flag, tr(hint))
        for name, (flag, hint) in REFUSED.items()
        if typed[name] not in (None, False)
    ]
    if typed["format"] not in TAKEN_FORMS:
        refused.append((f"-f {typed['format']}", tr("answers to many lines are lines of JSON")))
    if is_stdin:
        wants = {"-a -": "-" in (typed["file"] or ()), "--messages -": typed["messages"] == "-"}
        wants["--no-stdin"] = typed["no_stdin"]
        hint = tr("name a file instead of -")
        refused += [(flag, hint) for flag, does in wants.items() if does]
    for flag, hint in refused:
        each = "--each -" if is_stdin and hint == tr("name a file instead of -") else "--each"
        raise UsageError(
            tr("{option} and {other} do not go together", option=flag, other=each), hint
        )
