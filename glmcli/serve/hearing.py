"""Replies as long as their client listens. Knows nothing of how they are written."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from threading import Event

from glmcli.serve.holder import Holder
from glmcli.serve.http import HttpExchange
from glmcli.serve.pipes import ClientLeft
from glmcli.types import Chunk, GenerationParams, Message


def heard(
    exchange: HttpExchange, holder: Holder, messages: Sequence[Message], params: GenerationParams
) -> Generator[Chunk, None, None]:
    """The reply as long as the client listens, and its ticks. Raises GlmError, ClientLeft."""
    cancel = Event()
    with closing(holder.stream(messages, params, cancel)) as stream:
        try:
            for chunk in stream:
                if exchange.is_gone():
                    raise ClientLeft
                yield chunk
        finally:
            cancel.set()  # before the stream is closed: the engine stops within a step


def wait_until_open(exchange: HttpExchange, holder: Holder) -> None:
    """Wait until the model is open. Raises GlmError, ClientLeft."""

    def check_there() -> None:
        if exchange.is_gone():
            raise ClientLeft

    holder.wait_until_open(check_there)
