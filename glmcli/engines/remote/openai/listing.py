"""Where an OpenAI-compatible server is, and what it says of its models: names, owners, windows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from glmcli.config.servers import ServerOptions
from glmcli.engines.remote.address import errors_name, parse_address, with_openais_own
from glmcli.engines.remote.faults import Refused
from glmcli.engines.remote.glance import api_url, is_name
from glmcli.engines.remote.http import Server, open_server
from glmcli.engines.remote.served import LeftOut, Listed, not_told
from glmcli.engines.remote.stream import text_of, window_of
from glmcli.language import tr

if TYPE_CHECKING:
    import httpx

_DEFAULT_URL = "http://127.0.0.1:8000/v1"
MOST_MODELS = 10_000


def open_api(
    options: ServerOptions, transport: httpx.BaseTransport | None = None, hosted: str = ""
) -> tuple[Server, str]:
    """The server of the options and the path of its interface. Raises ConfigError.

    `hosted` is where the model most likely is, to be named if no address was given.
    """
    options, notice = with_openais_own(options)
    if hosted and not options.base_url:
        options = replace(options, url_name=f"--base-url {hosted}")
    base_url = options.base_url or _DEFAULT_URL
    with errors_name(options.label("base_url")):
        parse_address(base_url)
    url, mark, query = api_url(base_url).partition("?")
    root = url.removesuffix("/v1")
    server = open_server(options, root + mark + query, notice=notice, transport=transport)
    return server, url[len(root) :]


def ask_models(server: Server, prefix: str, left_out: LeftOut = not_told) -> list[Listed]:
    """What the server lists, in its order. Raises EngineError."""
    items = server.ask("GET", f"{prefix}/models").get("data")
    items = items if isinstance(items, list) else []
    if len(items) > MOST_MODELS:
        raise server.faults.too_much(tr("{n:,} models", n=MOST_MODELS))
    models = []
    for item in items:
        if is_name(name := text_of(item, "id")):
            window = window_of(item, "max_model_len") or window_of(item.get("meta"), "n_ctx")
            models.append(Listed(name, window, text_of(item, "owned_by")))
    left_out(len(items) - len(models))
    return models


def known_models(server: Server, prefix: str, name: str) -> list[Listed]:
    """What the server lists; nothing if it has no list but the model has a name."""
    try:
        return ask_models(server, prefix)
    except Refused as exc:
        if name and exc.status in (400, 404, 405, 501):
            return []
        raise


def ask_slot(server: Server) -> int | None:
    """The window of one of llama.cpp's slots, which share the window of the command line."""
    try:
        answer = server.ask("GET", "/props")
    except Refused:
        return None
    return window_of(answer.get("default_generation_settings"), "n_ctx")
