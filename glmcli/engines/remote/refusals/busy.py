"""Whether a server refuses because it is busy, and how long that lasts. Knows no server."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection
from email.utils import parsedate_to_datetime

from glmcli.language import tr

BUSY = (429, 503, 529)
LONGEST_BREAK_S = 86_400
_NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "1113", "1309"})
"""Codes of a 429 that no waiting helps against: those of OpenAI, and of Zhipu and Z.ai for an
account in arrears and a plan that has ended. Sources: their lists of error codes."""


def seconds_to_wait(status: int, retry_after: str, codes: Collection[str]) -> float | None:
    """How long a server is busy, 0 if it does not say; None if it is not, or not for a while.

    `retry_after` is the header: seconds, or a date. Source: RFC 9110, 10.2.3.
    """
    if status not in BUSY or not _NO_MONEY.isdisjoint(codes):
        return None
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def when_free(seconds: float | None) -> str:
    """What helps against a server that is busy, for so many `seconds_to_wait`."""
    if seconds is None:
        return tr("asking again does not help: look at your account there")
    if 0 < seconds <= LONGEST_BREAK_S:
        return tr(
            "the server is busy or still loading; ask again in {seconds} s",
            seconds=math.ceil(seconds),
        )
    return tr("the server is busy or still loading; ask again in a moment")
