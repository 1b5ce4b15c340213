"""What the log says of a request and of a reply, in one form for every door."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPMethod

from glmcli.types import Usage

MOST_LOGGED = 16
_UNSHOWN = "…"
_MOST_PARTS = 8
_ELSEWHERE = re.compile(
    r"api|apply-template|assistants|audio|beta|chat|completion|completions|"
    r"count_tokens|detokenize|docs|embed|embeddings|engines|favicon\.ico|files|"
    r"generate|images|infill|info|invocations|messages|metrics|models|moderations|openai|"
    r"openapi\.json|ping|pooling|props|ps|pull|queue|rerank|responses|robots\.txt|"
    r"score|show|slots|tags|threads|tokenize|v1|v2|v3|v4|version|worker_generate|"
    r"worker_generate_stream|worker_get_status",
    re.ASCII | re.IGNORECASE,
)
"""Words of addresses that other servers of models have: they tell for which a client was set up."""


def asked_note(method: str, path: str, ours: Iterable[tuple[str, str]]) -> str:
    """What was asked for, of which the words of an interface are shown and nothing else.

    A client may send a key or a text as its method or in its path. `ours`: (method, path).
    """
    known = {word for _, each in ours for word in each.split("/")}
    words = path.split("/")
    shown = [word if word in known or _ELSEWHERE.fullmatch(word) else _UNSHOWN for word in words]
    if len(shown) > _MOST_PARTS:
        shown[_MOST_PARTS:] = [_UNSHOWN]
    if method not in HTTPMethod.__members__:
        method = _UNSHOWN if method else "-"
    return f"{method} {'/'.join(shown)}"


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
