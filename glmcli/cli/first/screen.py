"""The screen of the first start, the choice that it offers, and how that is kept.

Knows nothing of how things are found.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from glmcli.cli.dialog import fitted, is_agreed, tell, typed_answer
from glmcli.cli.first.found import PORTS, Finds, Offer, look
from glmcli.config import BUILT_IN_MODEL, TYPED, Settings, demonstration
from glmcli.engines import check_followed
from glmcli.errors import GlmError
from glmcli.language import ntr, tr
from glmcli.terminal.input.keys.question import Question
from glmcli.terminal.output import Output
from glmcli.terminal.phrases import clipped, size
from glmcli.terminal.visible import visible_line

DIGITS = 9
"""Models that are offered: one digit each."""
MOST_ALIGNED = 30
"""Columns of names: what stands behind longer ones stands further to the right."""
LEAST_NAME = 16
"""Columns that a name gets in the narrowest window."""
MOST_HERE = 5
"""Of those on this machine, where servers have others."""


def first_choice(settings: Settings, out: Output) -> Settings:
    """Show the screen; the settings with what the person chooses, kept if they say so.

    Raises KeyboardInterrupt, Killed, and ConfigError for a choice that cannot be used so.
    """
    head = tr("This is the first chat with glm, so it looks around; it does this once.")
    out.say(f"{fitted(head, out.fd)}\n\n")  # before it looks: a large cache takes its time
    finds = look(settings)
    offers = offered(finds)
    demonstration(settings)  # the screen says it, so that the chat need not say it again today
    for line in screen(finds, offers, out.size().columns):
        out.say(f"{fitted(line, out.fd)}\n")
    if not offers:
        return settings
    asked = Question(tr("Number, or Enter: "), out, lambda line: digit_of(line, len(offers)), may)
    try:
        number = typed_answer(asked)
        if not number:
            return settings
        offer = offers[number - 1]
        chosen = taken(settings, offer)
        check_followed(chosen)
        if is_agreed(tr("Use it for every chat from now on? [y/N] ")):
            keep_offer(offer)
    except KeyboardInterrupt:
        out.write("\n")
        tell(tr("nothing was chosen: the next glm chat asks again"))
        raise
    return chosen


def taken(settings: Settings, offer: Offer) -> Settings:
    """The settings with a model as if it had been typed.

    A server that was found listed its models without a key, and is sent none.
    """
    sources = {**settings.sources, "model": TYPED}
    if not offer.base_url:
        return replace(settings, model=offer.model, sources=sources)
    sources["base_url"] = TYPED
    url = offer.base_url
    return replace(
        settings, model=offer.model, base_url=url, api_key="", key_url="", sources=sources
    )


def keep_offer(offer: Offer) -> None:
    """Write a choice into config.toml, and say where; an error is told, and the chat goes on."""
    from glmcli.cli.config.changing import put_settings

    values: dict[str, Any] = {"model": offer.model}
    if offer.base_url:
        values["base_url"] = offer.base_url
    try:
        path = put_settings(values)
        tell(tr("kept in {path}; glm config edit changes it", path=path))
    except GlmError as exc:
        tell(exc.message)
        commands = (f"glm config set {name} {shlex.quote(value)}" for name, value in values.items())
        tell(tr("it counts for this chat; {command} tries again", command=" && ".join(commands)))


def offered(finds: Finds) -> list[Offer]:
    """What is offered, as many as there are digits."""
    by_server: dict[str, list[Offer]] = {}
    for offer in finds.served:
        by_server.setdefault(offer.base_url, []).append(offer)
    here = finds.models[: min(MOST_HERE, DIGITS - len(by_server)) if by_server else DIGITS]
    served = shared(list(by_server.values()), DIGITS - len(here))
    return [*finds.models[: DIGITS - len(served)], *served]


def shared(lists: list[list[Offer]], most: int) -> list[Offer]:
    """At most so many of several lists, as many of each as there are of the shortest at first."""
    rounds = zip_longest(*([(at, offer) for offer in each] for at, each in enumerate(lists)))
    taken_first = [item for each in rounds for item in each if item][:most]
    return [offer for at, offer in sorted(taken_first, key=lambda item: item[0])]


def screen(finds: Finds, offers: list[Offer], columns: int = 80) -> Iterator[str]:
    """The lines below the head; a model is one row of so many `columns`."""
    yield gpu_line(finds)
    if finds.free_bytes is not None:
        yield tr("Memory: {free} free", free=size(finds.free_bytes))
    yield models_line(finds)
    yield from servers_lines(finds)
    yield ""
    names = [visible_line(offer.model) for offer in offers]
    widest = min(max(map(len, names), default=0), MOST_ALIGNED)
    for number, (name, offer) in enumerate(zip(names, offers, strict=True), 1):
        where = offer.base_url or size(offer.size_bytes)
        name = clipped(name, max(columns - len(f"  {number}    {where}"), LEAST_NAME))
        yield f"  {number}  {name:<{widest}}  {where}"
    if offers:
        yield tr("  Enter  {what}", what=none_of_them(finds))
        if len(offers) < len(finds.models) + len(finds.served):
            yield tr("More: glm models list shows them, --base-url ADDRESS those of a server.")
    elif finds.no_models:
        yield finds.no_models.hint
    else:
        yield tr("Now answers: {what}", what=none_of_them(finds))
        yield tr(
            "A real one: glm chat -m FOLDER, or -m ORG/NAME of the hub; "
            "glm config set model NAME keeps it."
        )
        yield ""


def none_of_them(finds: Finds) -> str:
    """What there is if nothing is chosen."""
    if finds.no_models:
        return tr("none of them")
    line = tr("{name}, built in, small, for demonstration", name=BUILT_IN_MODEL)
    if finds.to_fetch_bytes:
        line += tr(" ({size} are fetched first)", size=size(finds.to_fetch_bytes))
    return line


def gpu_line(finds: Finds) -> str:
    """Which GPUs there are, and whether torch can use them."""
    if finds.no_gpu:
        return tr("GPU: its driver says nothing ({why})", why=finds.no_gpu)
    if not finds.gpus:
        return tr("GPU: none was found; models run on the processor")
    each = [" ".join(filter(None, (gpu.name, size(gpu.total_bytes)))) for gpu in finds.gpus]
    line = tr("GPU: {names}", names=", ".join(each))
    if finds.torch.endswith("+cpu"):
        line += tr(
            " (not used: torch {version} is for the processor alone; the README says how to install"
            " the other)",
            version=finds.torch,
        )
    return line


def models_line(finds: Finds) -> str:
    """How many models there are on this machine."""
    if finds.no_models:
        return tr("Models on this machine: {why}", why=finds.no_models.message)
    count = len(finds.models)
    if not count:
        return tr("Models on this machine: only the built-in {name}", name=BUILT_IN_MODEL)
    return ntr(
        "Models on this machine: {n} beside the built-in {name}",
        "Models on this machine: {n} beside the built-in {name}",
        count,
        name=BUILT_IN_MODEL,
    )


def servers_lines(finds: Finds) -> Iterator[str]:
    """Where it was looked for servers, how many were found, and which of them want a key."""
    ports = ", ".join(map(str, sorted(PORTS)))
    count = len({offer.base_url for offer in finds.served})
    if count:
        yield ntr(
            "Servers on this machine: {n} answers (asked: ports {ports})",
            "Servers on this machine: {n} answer (asked: ports {ports})",
            count,
            ports=ports,
        )
    elif not finds.locked:
        yield tr("Servers on this machine: none at ports {ports}", ports=ports)
    if finds.locked:
        yield ntr(
            "Servers that want a key: at port {ports} (GLM_API_KEY, and --base-url ADDRESS)",
            "Servers that want a key: at ports {ports} (GLM_API_KEY, and --base-url ADDRESS)",
            len(finds.locked),
            ports=", ".join(map(str, sorted(finds.locked))),
        )


def digit_of(line: str, most: int) -> int | None:
    """The number of an offer, 0 for none of them; None for what is neither."""
    word = line.strip()
    if not word:
        return 0
    return int(word) if word.isdecimal() and len(word) == 1 and 1 <= int(word) <= most else None


def may() -> str:
    """What may be typed."""
    return tr("type a number of the list, or Enter")
