"""What the settings say about servers, as remote engines are given it, and where usual ones are.

Knows nothing of addresses or keys but where they came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from glmcli.config.settings import Settings, cut

USUAL_PORTS = {"ollama": 11434, "vllm": 8000, "sglang": 30000, "lmstudio": 1234, "llama.cpp": 8080}
"""Programs that serve models as OpenAI does, and the ports that they use of themselves."""
_PLAIN_PORTS = {"80", "5000", "5001", "8001", "21001", "21002", *map(str, USUAL_PORTS.values())}
"""Ports at which hardly a server speaks TLS."""
_PLAIN_NAMES = (".local", ".localhost", ".lan", ".internal", ".home", ".arpa", ".localdomain")
"""The ends of names that only a private network has."""
HOSTED = {
    r"(?:chat)?gpt(?:-(?!oss|neo|j\b|2\b)|[345](?!all)|$)|o[1-9]\b(?!-open)": "https://api.openai.com/v1",
    r"claude\b": "https://api.anthropic.com/v1",
    r"gemini\b": "https://generativelanguage.googleapis.com/v1beta/openai",
    r"grok(?:$|-(?!1\b))": "https://api.x.ai/v1",
    r"deepseek-(?:chat|reasoner)$": "https://api.deepseek.com/v1",
    r"(?:mi[ns]tral|codestral)-[\w-]+-(?:latest|\d{4})$": "https://api.mistral.ai/v1",
    r"qwen\d?-(?:max|plus|turbo|long|flash)\b": "https://dashscope.aliyuncs.com/compatible-mode/v1",
    r"(?:moonshot-v1|kimi)-": "https://api.moonshot.cn/v1",
    r"glm-4-(?:plus|airx?|flashx?|long|0520)$": "https://open.bigmodel.cn/api/paas/v4",
}
"""Names of models that only servers have, and not those of open ones that are much like them."""


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
    openai_slip: str = ""
    """A variable that stands in the place of that."""
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


def hosted_at(name: str) -> str:
    """The address of the server that alone has a model of this name; "" for all others."""
    names = HOSTED.items()
    return next((url for form, url in names if re.match(form, name, re.IGNORECASE)), "")


def key_host(word: str) -> str:
    """The host of a server by its name, or that of its models; "" for words that are neither."""
    name, hosts = word.lower(), [url.split("/")[2] for url in HOSTED.values()]
    if re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", name):
        return name
    named = hosted_at(name).split("/")[2:3]
    return next(iter(named), next((host for host in hosts if name[3:] and name in host), ""))


def with_scheme(address: str) -> str:
    """An address that has no scheme, or a slip for one, with what it most likely has: a server that
    is not on this machine or in a private network is asked in plain text only at a port for that.
    """
    from ipaddress import ip_address

    if slip := re.fullmatch(r"h?tt?p(s?)(?::/*|//)(\w.*)", address, re.IGNORECASE):
        return f"http{slip[1].lower()}://{slip[2]}"
    found = re.fullmatch(r"(\[[0-9a-f:]+\]|[\w.-]+)(?::([0-9]{1,5}))?(?:[/?].*)?", address)
    if found is None:
        return ""
    host, port = found[1].strip("[]").rstrip(".").lower(), found[2]
    is_near = "." not in host or host.endswith(_PLAIN_NAMES)
    with suppress(ValueError):
        is_near = not ip_address(host).is_global
    is_plain = port != "443" and (is_near or port in _PLAIN_PORTS)
    return f"{'http' if is_plain else 'https'}://{address}"
