"""What a server has: the models that it lists, and which of them is meant.

Knows nothing of how a server is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from glmcli.engines.remote.faults import one_line
from glmcli.errors import GlmError, ModelError
from glmcli.language import tr

MOST_SHOWN = 20
LeftOut = Callable[[int], None]
"""Is told how many of the listed models cannot be named: see `is_name`."""


def not_told(count: int) -> None:
    """The `LeftOut` of whoever looks for one model."""


@contextmanager
def failing_with(take_notice: Callable[[], str]) -> Iterator[None]:
    """Have an error say, in its hint, what was to be told before the first reply."""
    try:
        yield
    except GlmError as exc:
        if (notice := take_notice()) and notice not in exc.hint:
            exc.hint = tr("; ").join(filter(None, [notice, exc.hint]))
            exc.in_chat = exc.in_chat and tr("; ").join([notice, exc.in_chat])
        raise


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as a server lists it."""

    name: str
    window: int | None = None
    owner: str = ""


def choose(
    name: str, models: Sequence[Listed], *, host: str, engine: str, lists_all: bool = True
) -> Listed:
    """The model called `name`, or the only one. Raises ModelError if there is none, or a choice.

    A server that does not list all that it has (`lists_all`) is believed to have any.
    """
    same = next((model for model in models if model.name == name), None)
    if same is not None:
        return same
    if name and not lists_all:
        return Listed(name, None, models[0].owner if models else "")
    if not name and len(models) == 1:
        return models[0]
    if not models and engine == "fastchat":
        raise ModelError(
            tr("{host} lists no models", host=host), tr("start a worker that registers with it")
        )
    if not models:
        raise ModelError(
            tr("{host} lists no models", host=host), tr("name one: --model openai:NAME")
        )
    names = ", ".join(sorted(one_line(model.name, 80) for model in models)[:MOST_SHOWN])
    hint = tr("choose one, as in {engine}:NAME: {names}", engine=engine, names=names)
    if name:
        raise ModelError(
            tr("{host} has no model {name!r}", host=host, name=one_line(name, 80)), hint
        )
    raise ModelError(tr("{host} has several models", host=host), hint)
