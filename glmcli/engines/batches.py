"""Several prompts to one engine: in batched steps where it has them, else one after the other.

Knows nothing of files or servers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from threading import Event

from glmcli.engines import Asked, Batches, BatchItem, Engine
from glmcli.engines.delivery import Delivery
from glmcli.engines.failures import as_user_error
from glmcli.engines.reply import broken_off
from glmcli.errors import GlmError
from glmcli.types import Chunk


def batch_of(
    engine: Engine, prompts: Sequence[Asked], cancel: Event
) -> Generator[BatchItem, None, None]:
    """Yield the replies of any engine to several prompts; see `Batches.batch`."""
    make = engine.batch if isinstance(engine, Batches) else None
    yield from make(prompts, cancel) if make else in_turn(engine, prompts, cancel)


def in_turn(
    engine: Engine,
    prompts: Sequence[Asked],
    cancel: Event,
    order: Sequence[int] | None = None,
) -> Generator[BatchItem, None, None]:
    """Yield the replies one after the other, in `order`, which names all or some of the prompts."""
    for index in range(len(prompts)) if order is None else order:
        if cancel.is_set():
            yield index, Chunk(finish_reason="cancelled")
        else:
            yield from ((index, item) for item in _reply(engine, prompts[index], cancel))


def _reply(engine: Engine, asked: Asked, cancel: Event) -> Generator[Chunk | GlmError, None, None]:
    """One reply, which ends with a `finish_reason` or an error, whatever the engine does."""
    messages, params = asked
    with closing(engine.stream(messages, params, cancel)) as stream:
        while True:
            try:
                chunk = next(stream, None)
            except BaseException as exc:  # a library may panic, or try to exit
                yield as_user_error(exc)
                return
            if chunk is None:
                yield broken_off()
                return
            yield chunk
            if chunk.finish_reason is not None:
                return


def is_end(item: Chunk | GlmError) -> bool:
    """Whether an item is the last one of its prompt."""
    return isinstance(item, GlmError) or item.finish_reason is not None


def ends_of_cancelled(
    prompts: Sequence[Asked], ended: Collection[int]
) -> Generator[BatchItem, None, None]:
    """The ends of all prompts that have none yet when a batch is cancelled."""
    for index in range(len(prompts)):
        if index not in ended:
            yield index, Chunk(finish_reason="cancelled")


def steps_of_batch(
    begin: Callable[[], Generator[BatchItem, None, None]],
    delivery: Delivery[BatchItem | GlmError],
) -> Generator[None, None, None]:
    """Put a batch into its delivery, an item a step; an error by itself ends them all."""
    try:
        if delivery.is_left:
            return  # nobody waits for it
        with closing(begin()) as items:
            for item in items:
                if not delivery.put(item):
                    break
                yield
        delivery.put_last(broken_off())  # is taken only where an end is missing
    except BaseException as exc:  # a library may panic, or try to exit
        delivery.put_last(as_user_error(exc))
