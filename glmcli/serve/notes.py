"""What the log says of a reply, in one form for every door."""

from __future__ import annotations

from glmcli.types import Usage


def tokens_note(usage: Usage) -> str:
    """How many tokens were read, how many of them kept from before, and how many written."""
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    return f"{usage.prompt_tokens}{cached} + {usage.completion_tokens} tokens"
