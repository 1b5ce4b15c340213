"""What lives at an address: which kind of server, and which models it has.

Where the kind is not known it asks for OpenAI's list first, which every kind of server has but
FastChat's controller and workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glmcli.config import Settings
from glmcli.engines.remote.fastchat import engine as fastchat
from glmcli.engines.remote.faults import Refused
from glmcli.engines.remote.openai import engine as openai
from glmcli.engines.remote.served import LeftOut, not_told

if TYPE_CHECKING:
    import httpx

_KINDS = {"openai": openai, "fastchat": fastchat}


def list_models(
    settings: Settings,
    *,
    kind: str = "",
    transport: httpx.BaseTransport | None = None,
    left_out: LeftOut = not_told,
) -> list[tuple[str, int | None]]:
    """(name, window) of every model at `settings.base_url`; names are as `--model` takes them.

    `kind` is the engine that asks; "" for the one that gets an answer. `left_out` is told how many
    more there are that cannot be named. Raises ConfigError, EngineError.
    """
    try:
        found = _KINDS[kind or "openai"].list_models(
            settings, transport=transport, left_out=left_out
        )
        return [(f"{kind or 'openai'}:{name}", window) for name, window in found]
    except Refused as refusal:
        if kind or refusal.status not in (404, 405):
            raise
        try:
            return list_models(settings, kind="fastchat", transport=transport, left_out=left_out)
        except Refused:
            raise refusal from None
