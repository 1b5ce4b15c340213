"""When a conversation was, as its JSON says it: ISO 8601 in UTC.

Knows nothing of how it is stored.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from glmcli.types import Conversation


def dates_record(**moments: float | None) -> dict[str, str]:
    """The moments that are known, in seconds since 1970, as texts: "2026-01-31T12:00:00.5Z"."""
    return {
        name: datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
        for name, moment in moments.items()
        if moment is not None
    }


def date_of(value: Any) -> float | None:
    """A moment from JSON: ISO 8601, or seconds since 1970; None for what is none, or still to come.

    A text without a zone is in UTC.
    """
    moment = None
    if isinstance(value, str):
        with suppress(ValueError, OverflowError):
            read = datetime.fromisoformat(value)
            moment = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        moment = value
    return float(moment) if moment is not None and 0 <= moment <= time.time() else None


def dates_of(conversation: Conversation) -> dict[str, str]:
    """When a conversation began, and when it was last written to."""
    first = conversation.messages[0].created if conversation.messages else None
    return dates_record(created=first, updated=conversation.updated)


def dated(conversation: Conversation, record: dict[str, Any]) -> Conversation:
    """`conversation` with the dates of its record; messages without one have that of the whole."""
    created = date_of(record.get("created"))
    messages = conversation.messages
    if created is not None:
        messages[:] = [
            each if each.created is not None else replace(each, created=created)
            for each in messages
        ]
    conversation.updated = date_of(record.get("updated"))
    if conversation.updated is None and messages:
        conversation.updated = messages[-1].created
    return conversation
