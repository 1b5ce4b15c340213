"""What the settings say about servers, as the remote engines are given it.

Knows nothing of addresses or keys but where they came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from glmcli.config.settings import Settings, cut


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a server lives, the keys that may be for it, and how long it may take."""

    base_url: str = ""
    api_key: str = field(default="", repr=False)
    key_url: str = field(default="", repr=False)
    """The address that `api_key` was given together with; "" if it was given alone."""
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keys by host or host:port."""
    key_name: str = "GLM_API_KEY"
    """The variable that `api_key` comes from, if it comes from one."""
    url_name: str = "GLM_BASE_URL"
    """The same of `base_url`."""
    openai_url: str = ""
    """The address in OpenAI's own variable."""
    openai_key: str = field(default="", repr=False)
    """The key in OpenAI's own variable, for that address and OpenAI itself."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each of these came from, by the name of the setting."""
    template: str = ""
    """The template of a FastChat worker's model; "" for the one that the worker names."""
    timeout: float = 120.0
    window: int | None = None
    """Of the model, in tokens; None for the one that the server states."""

    def label(self, name: str) -> str:
        """Where `base_url` or `api_key` was set, to be named in an error; "" if it was typed."""
        source = self.sources.get(name, "option")
        variable = self.url_name if name == "base_url" else self.key_name
        return "" if source == "option" else f"{variable} ({source})"

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every key that the user has given, for whatever server."""
        return (self.api_key, self.openai_key, *self.keys.values())


def server_options(settings: Settings) -> ServerOptions:
    """What a remote engine needs of the settings."""
    return cut(ServerOptions, settings, key_name="GLM_API_KEY", url_name="GLM_BASE_URL")
