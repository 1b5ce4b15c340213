"""What lives at an address: which kind of server, and which models it has.

Asks for OpenAI's list first, which every kind of server has but FastChat's controller and workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glmcli.config import Settings
from glmcli.engines.remote.fastchat import engine
from glmcli.engines.remote.faults import Refused
from glmcli.engines.remote.openai import engine as openai

if TYPE_CHECKING:
    import httpx


def list_models(
    settings: Settings, *, transport: httpx.BaseTransport | None = None
) -> list[tuple[str, int | None]]:
    """(name, window) of every model at `settings.base_url`; names are as `--model` takes them.

    Raises ConfigError, EngineError.
    """
    try:
        found = openai.list_models(settings, transport=transport)
        return [(f"openai:{name}", window) for name, window in found]
    except Refused as refusal:
        if refusal.status not in (404, 405):
            raise
        try:
            found = engine.list_models(settings, transport=transport)
        except Refused:
            raise refusal from None
    return [(f"fastchat:{name}", window) for name, window in found]
