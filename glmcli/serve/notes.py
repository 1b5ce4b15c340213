"""What the log says of a reply, in one form for every door."""

from __future__ import annotations

from collections.abc import Sequence

from glmcli.types import Usage

MOST_LOGGED = 16


def tokens_note(usage: Usage) -> str:
    """How many tokens were read, how many of them kept from before, and how many written."""
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    return f"{usage.prompt_tokens}{cached} + {usage.completion_tokens} tokens"


def ignored_note(names: Sequence[str]) -> str:
    """Fields that changed nothing: their names, and how many more there were than `MOST_LOGGED`."""
    more = len(names) - MOST_LOGGED
    return f"ignored: {', '.join(names[:MOST_LOGGED])}" + (
        f" and {more:,} more" if more > 0 else ""
    )
