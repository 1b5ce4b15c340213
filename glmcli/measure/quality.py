"""How far a net in fewer bits is from the same net in full: what each expects after every token.

Both read the same ids as they do in a chat: the first half in blocks, like a prompt, the rest one
at a time, like a reply. One net is in memory at a time; the first one's scores wait in a temporary
file. Knows nothing of tables or options.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing

from glmcli.config import Settings
from glmcli.engines import open_alone
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.divergence import Divergence, next_row
from glmcli.errors import UsageError
from glmcli.language import tr
from glmcli.types import Report

OnRead = Callable[[int, int], None]
"""Called with the number of ids that are read, and of all ids."""


def compare(
    full: Settings,
    reduced: Settings,
    text: str,
    found: Divergence,
    report: Report,
    tell: Callable[[str], None],
    count: OnRead,
) -> None:
    """Let both nets read `text` as a user's message, the full one first. Adds to `found`.

    Raises UsageError if the two write the text in different ids; else what opening one raises.
    """
    with tempfile.TemporaryFile() as file:
        with closing(open_net(full, report, tell)) as engine:
            ids = engine.ids(text)
            for number, scores in enumerate(engine.scores(ids)):
                file.write(scores.numpy().tobytes())
                count(number + 1, 2 * len(ids))
        file.seek(0)
        with closing(open_net(reduced, report, tell)) as engine:
            if engine.ids(text) != ids:
                raise UsageError(
                    tr("the two write the text in different ids"), tr("compare one model")
                )
            for number, scores in enumerate(engine.scores(ids)):
                found.add(next_row(file, len(scores)), scores)
                count(len(ids) + number + 1, 2 * len(ids))


def open_net(settings: Settings, report: Report, tell: Callable[[str], None]) -> LocalEngine:
    """The engine of a model in this process. Raises what opening one raises."""
    engine = open_alone(settings, report, tell=tell)
    assert isinstance(engine, LocalEngine), "only a model in this process is compared"
    return engine
