"""What the first start finds: GPUs, memory, models on this machine, servers at usual ports.

Looks all at once, imports no torch, writes nothing, and asks nobody but this machine. Knows
nothing of how it is shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from glmcli.config import BUILT_IN_MODEL, Settings
from glmcli.config.models import ModelOptions
from glmcli.errors import ModelError
from glmcli.machine import Gpu, free_bytes, gpus
from glmcli.paths import is_folder

PORTS: Mapping[int, str] = {
    8000: "openai",
    8080: "openai",
    30000: "openai",
    11434: "openai",
    1234: "openai",
    23333: "openai",
    21001: "fastchat",
}
"""Where servers listen that nobody gave another port, and the engine that asks them: vLLM and
FastChat's own, llama.cpp, SGLang, Ollama, LM Studio, LMDeploy, FastChat's controller."""
SERVERS_S = 0.25
"""Servers on this machine answer in milliseconds."""
GPUS_S = 3.0
"""A driver that is not loaded yet takes a second or two."""
READABLE_CHARS = 200
"""Characters of the name of a model that can be read."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that can be chosen."""

    model: str
    """As `--model` takes it."""
    base_url: str = ""
    """Of its server; "" for a model on this machine."""
    size_bytes: int | None = None
    """Its files."""


@dataclass(frozen=True, slots=True)
class Finds:
    """What there is."""

    gpus: tuple[Gpu, ...]
    no_gpu: str
    """Why the driver of a GPU says nothing, in its own words; "" if it speaks or there is none."""
    torch: str
    """The version of torch that is installed; "" for none."""
    free_bytes: int | None
    """Main memory."""
    models: tuple[Offer, ...]
    """On this machine, beside the built-in one."""
    no_models: ModelError | None
    """Why no model can be used on this machine; None if one can."""
    to_fetch_bytes: int
    """What has to be fetched before the built-in one answers; 0 if it is here."""
    served: tuple[Offer, ...]
    locked: tuple[int, ...] = ()
    """Ports of servers that want a key before they say anything."""


class Served(NamedTuple):
    """What servers on this machine say."""

    offers: list[Offer]
    locked: list[int]
    """Ports of those that want a key."""


def look(settings: Settings) -> Finds:
    """Find all of it."""
    from glmcli.models.builtin import WHEEL_BYTES, built_in_folder
    from glmcli.models.libraries import installed_version

    found: tuple[Gpu, ...] = ()
    no_gpu, no_models = "", None
    models: tuple[Offer, ...] = ()
    options = settings.model_options
    with ThreadPoolExecutor(2) as pool:
        driver, answers = pool.submit(gpus, GPUS_S), pool.submit(served_here)
        try:
            models = tuple(usable(options))
        except ModelError as exc:
            no_models = exc
        try:
            found = tuple(driver.result())
        except OSError as exc:
            no_gpu = exc.strerror or str(exc)
    return Finds(
        gpus=found,
        no_gpu=no_gpu,
        torch=installed_version("torch"),
        free_bytes=free_bytes(),
        models=models,
        no_models=no_models,
        to_fetch_bytes=0 if is_folder(built_in_folder(options.cache)) else WHEEL_BYTES,
        served=tuple(answers.result().offers),
        locked=tuple(answers.result().locked),
    )


def usable(options: ModelOptions) -> list[Offer]:
    """The models on this machine that would be opened, beside the built-in one.

    A name that means something else in the working folder is left out. Raises ModelError.
    """
    from glmcli.models.library.listing import describe_all
    from glmcli.models.library.showing import missing_files, problem_of

    def is_whole(name: str, folder: Path) -> bool:
        return not any(missing_files(folder)) and not problem_of(name, folder, options)

    return [
        Offer(each.name, size_bytes=each.size_bytes)
        for each in describe_all(options)
        if each.name != BUILT_IN_MODEL
        and each.name.isprintable()
        and not os.path.lexists(each.name)
        and is_whole(each.name, Path(each.path))
    ]


def served_here(ports: Mapping[int, str] = PORTS, within_s: float = SERVERS_S) -> Served:
    """The models of servers on this machine, at these ports; no key is sent."""
    from glmcli.engines.remote.glance import glance_at

    served = Served([], [])
    with ThreadPoolExecutor(len(ports)) as pool:
        urls = {port: f"http://127.0.0.1:{port}" for port in ports}
        glances = pool.map(lambda at: glance_at(urls[at], [ports[at]], within_s=within_s), ports)
        for port, glance in zip(ports, glances, strict=True):
            names = [name for name in glance.models if len(name) <= READABLE_CHARS]
            served.offers.extend(Offer(name, urls[port]) for name in names)
            if glance.wants_key:
                served.locked.append(port)
    return served
