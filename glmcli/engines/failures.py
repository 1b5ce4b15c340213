"""What an engine raises, as errors for users.

Engines run foreign code, which may raise whatever it likes. Knows nothing of engines.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from glmcli.errors import EngineError, GlmError, ModelError, first_line
from glmcli.language import tr


def as_user_error(exc: BaseException) -> GlmError:
    """A user's error for whatever an engine raised; a bug becomes an EngineError with its cause."""
    if isinstance(exc, GlmError):
        return exc
    error = EngineError(
        tr("the engine failed: {error}", error=f"{type(exc).__name__}: {first_line(exc)}"),
        tr("GLM_DEBUG=1 shows where it happened"),
        again=True,
    )
    error.__cause__ = exc
    return error


def opening_failed(exc: BaseException) -> GlmError:
    """The same for errors while a model is opened; a panic is the fault of its files."""
    if isinstance(exc, Exception):
        return as_user_error(exc)
    error = ModelError(
        tr("the model cannot be opened: {error}", error=f"{type(exc).__name__}: {first_line(exc)}"),
        tr("its files may be damaged; GLM_DEBUG=1 shows where it happened"),
    )
    error.__cause__ = exc
    return error


def quietly(job: Callable[[], object]) -> None:
    """Run a job for which nobody waits: its failure comes up again when somebody asks.

    BaseException too: a library that panics must not end the thread.
    """
    with suppress(BaseException):
        job()
