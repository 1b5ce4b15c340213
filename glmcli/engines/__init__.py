"""The seam between the program and whatever answers: its protocols and the table of engines.

`Engine` is all that a session needs, `Warms` and others are extras, `EngineState` is for whoever
waits. Knows nothing of the terminal, and imports an engine only when one is opened.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from threading import Event
from typing import Protocol, runtime_checkable

from glmcli.config import TOML, TYPED, Settings
from glmcli.engines.state import AlwaysOpen as AlwaysOpen
from glmcli.engines.state import EngineState as EngineState
from glmcli.engines.state import state_of as state_of
from glmcli.errors import ConfigError, GlmError, ModelError
from glmcli.harmless import as_told
from glmcli.language import tr
from glmcli.models.gguf import is_gguf
from glmcli.paths import is_folder, link_line, with_home, without_links
from glmcli.types import Chunk, GenerationParams, Message, Report

ENGINES: dict[str, str] = {
    "echo": "glmcli.engines.echo",
    "gguf": "glmcli.engines.gguf.open",
    "local": "glmcli.engines.local.open",
    "openai": "glmcli.engines.remote.openai.engine",
    "fastchat": "glmcli.engines.remote.fastchat.engine",
}
"""Engine name -> the module whose `open_engine(name, settings, report)` opens it."""

_HERE, SERVERS = ("local",), ("openai", "fastchat")
"""Names of engines: the one that loads a checkpoint, those that ask a model at an address."""
LOADED = (*_HERE, "gguf")
"""Those of which a model takes the memory of this machine."""
FOLLOWED_BY: dict[str, tuple[str, ...]] = {
    "adapter": _HERE,
    "device": LOADED,
    "dtype": _HERE,
    "quantize": _HERE,
    "attn": _HERE,
    "fused": _HERE,
    "verify": _HERE,
    "speculate": _HERE,
    "threads": LOADED,
    "trust_remote_code": _HERE,
    "base_url": SERVERS,
    "timeout": SERVERS,
    "template": ("fastchat", *_HERE),
    "keep": (*LOADED, "echo"),
}
"""Settings that not all engines follow -> those that do."""


class Engine(Protocol):
    """Whatever answers.

    The contract, tested once for all engines:
    1. the joined text of the chunks is the reply, equal to decoding the whole reply at once;
    2. exactly one chunk, the last, has a `finish_reason`; a stream that just stops is a fault;
    3. the engine is given the whole conversation every time; caches are its private speed-up;
    4. when `cancel` is set, the stream ends with `finish_reason="cancelled"` within one decode step
       or one prefill block, and the next call is as good as the first;
    5. failures are raised as `EngineError`, never yielded;
    6. a prompt that does not fit raises `ContextFull` before any work;
    7. a notice that holds for more than one reply is `once`: it comes with each, since others may
       hear the next, and `Heard` tells each of them once.
    If the last message is the assistant's, the reply goes on with that message. Where the only one
    is `raw` or `rendered`, its text is the prompt; engines in this process take that.
    """

    @property
    def name(self) -> str:
        """What people call the model: "smollm2"."""
        ...

    @property
    def device(self) -> str:
        """Where and how it runs: "cpu bfloat16"; "" if that is not known."""
        ...

    @property
    def details(self) -> str:
        """How it runs, in words, for `--stats`: which code, or what kind of server; may be ""."""
        ...

    @property
    def context_tokens(self) -> int | None:
        """The window, prompt and reply together."""
        ...

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the reply to `messages`, piece by piece."""
        ...

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int | None:
        """The size of the prompt in tokens; None if it cannot be known, or not before `cancel`.

        It is exact, but for a prompt far beyond the window: any number above the window will do.
        `think` is that of the settings, where a template writes it.
        """
        ...

    def close(self) -> None:
        """Let go of memory and connections."""
        ...


@runtime_checkable
class Warms(Protocol):
    """An engine that can read before it is asked."""

    def warm(self, messages: Sequence[Message], params: GenerationParams, cancel: Event) -> None:
        """Get ready for a prompt that starts like this.

        A user's message at the end is a draft: text may still be added to it. When `cancel` is set,
        this ends within one prefill block. No reply depends on it, only how soon it comes.
        """
        ...


Asked = tuple[Sequence[Message], GenerationParams]
"""A prompt and how it is to be answered."""
BatchItem = tuple[int, Chunk | GlmError]
"""The index of a prompt, and the next piece of its reply or why there is none."""


@runtime_checkable
class Batches(Protocol):
    """An engine that answers several prompts in less time than one after the other."""

    def batch(self, prompts: Sequence[Asked], cancel: Event) -> Generator[BatchItem, None, None]:
        """Yield the replies to `prompts`, in no order; the items of one index are its stream.

        Each ends as a stream does, with a `finish_reason`, or with the error that it would have
        raised, after which the others go on. When `cancel` is set, all that have no end yet end as
        "cancelled" within one step. The text is that of `stream`, as exactly as the numbers of the
        model are summed: in float32 the same.
        """
        ...


@runtime_checkable
class Shares(Protocol):
    """An engine of which several streams may be taken from at once, in turn, on one thread.

    What each conversation has read is kept in a slot of its own; the next prompt that begins alike
    goes on from there. No reply depends on it, only how soon it comes.
    """

    @property
    def at_once(self) -> int:
        """How many streams may be open now, those that are included; at least 1."""
        ...

    @property
    def slots(self) -> Sequence[int]:
        """How many tokens each slot holds, the one that was used last at the end."""
        ...

    @property
    def slot_bytes(self) -> int:
        """What the slots take of the memory of the device."""
        ...

    @property
    def slot_limit(self) -> int | None:
        """What they may take of it, those that are in use aside; None: there is only one slot."""
        ...

    def share(self, limit_bytes: int | None) -> None:
        """From now on there are several slots, of so many bytes; None: a part of what is free."""
        ...

    def stream_privately(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Like `Engine.stream`; nothing of it is kept."""
        ...


@runtime_checkable
class TellsOpening(Protocol):
    """An engine that may have something to say of how it was opened."""

    def take_opening(self) -> list[str]:
        """The lines, for whoever says them; its first reply begins with those that nobody took."""
        ...


@runtime_checkable
class TellsOwn(Protocol):
    """An engine that can tell what the model brings along where nothing is set."""

    def filled(self, params: GenerationParams) -> GenerationParams | None:
        """The settings with what each comes to that is not set; None if it cannot be known."""
        ...

    def own_system(self) -> str:
        """The system prompt that the model's template adds by itself; "" if there is none."""
        ...


@runtime_checkable
class TellsPrompt(Protocol):
    """An engine that can tell what a conversation comes to as a prompt, and takes it back as text.

    Not for other threads than the one that streams.
    """

    @property
    def controls(self) -> Mapping[str, int]:
        """What stands for a control token in a prompt as text -> its id."""
        ...

    def prompt_ids(self, messages: Sequence[Message]) -> Sequence[int]:
        """The whole prompt, as the model reads it. Raises UsageError, ModelError."""
        ...

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The same as the model's chat template writes it; "" where that is no text."""
        ...


def open_engine(settings: Settings, report: Report) -> Engine:
    """Open the engine that `settings.model` names.

    Raises ConfigError, ModelError, OutOfMemory, EngineError.
    """
    engine, name = split_name(settings.model)
    opened: Engine = importlib.import_module(ENGINES[engine]).open_engine(name, settings, report)
    return opened


def open_kept(settings: Settings, report: Report) -> Engine:
    """The same, in the process that keeps the model in memory, if one does or is to do so.

    A model at an address is asked there, whatever `keep` says: no key or address is passed on.
    """
    is_kept = settings.keep and split_name(settings.model)[0] in FOLLOWED_BY["keep"]
    if not (is_kept or is_local(settings.model)):
        return open_engine(settings, report)
    from glmcli.engines.kept import open_kept_or_here

    return open_kept_or_here(settings, report)


def open_alone(
    settings: Settings, report: Report, *, tell: Callable[[str], None], spares_same: bool = False
) -> Engine:
    """The same, when kept models that are idle have left, which is told; see there."""
    if not is_local(settings.model):
        return open_engine(settings, report)
    from glmcli.engines.kept.finding import open_without_others

    engine = open_without_others(settings, report, tell=tell, spares_same=spares_same)
    for line in engine.take_opening() if isinstance(engine, TellsOpening) else ():
        tell(line)
    return engine


def check_followed(settings: Settings) -> None:
    """Raise ConfigError for an option that was typed and that the model's engine cannot follow.

    What the user's own files set is for the models that follow it. What is as it would be without
    the option, `--keep 0` for one, is asked of no engine.
    """
    engine, _ = split_name(settings.model)
    unset = {each.name: each.default for each in fields(settings)}
    for name, engines in FOLLOWED_BY.items():
        value = getattr(settings, name)
        is_asked = value is True or value != unset[name]
        if engine in engines or settings.sources.get(name) != TYPED or not is_asked:
            continue
        prefix = "--no-" if value is False else "--"
        option = prefix + name.replace("_", "-")
        if engine == "gguf" and engines[:1] == _HERE:
            raise ConfigError(
                tr("{option} is for models that torch computes, not for GGUF files", option=option),
                tr("leave it out, or give the model as a folder or a hub id"),
            )
        if engines[:1] == _HERE:
            raise ConfigError(
                tr(
                    "{option} is for models that are loaded here, not for {engine}:",
                    option=option,
                    engine=engine,
                ),
                tr("leave it out, or give the model as a folder or a hub id"),
            )
        names = tr(" and ").join(
            tr("models that are loaded here") if each == "local" else f"{each}:" for each in engines
        )
        line = tr(
            "{option} is for {engines}, not for {model}",
            option=option,
            engines=names,
            model=settings.model,
        )
        raise ConfigError(
            line,
            tr("leave it out, or name a model there: --model {engine}:NAME", engine=engines[0]),
        )


def whereabouts(engine: Engine) -> str:
    """Where an engine runs and how: what `--stats` says of it."""
    return " · ".join(filter(None, [engine.device, engine.details]))


def split_name(model: str) -> tuple[str, str]:
    """A model's name as (engine, what that engine is to open): "echo:", "local:./folder"."""
    engine, colon, name = model.partition(":")
    if colon and engine in ENGINES:
        return engine, name
    return ("gguf" if is_gguf(model) else "local"), model


def lasting_name(settings: Settings) -> str:
    """The model as it is found from any folder: one that is a folder by its whole path."""
    engine, name = split_name(settings.model)
    with suppress(ModelError, OSError):  # told when it is opened
        # Few models are: nothing is imported for the others before the first prompt.
        if engine == "local" and is_folder(folder := with_home(name)):
            from glmcli.models.names import place_of

            if place_of(name, settings.model_options).folder == folder:
                return str(without_links(folder))
        if engine == "gguf":
            from glmcli.models.gguf.finding import lasting_gguf

            return lasting_gguf(name)
    return settings.model


def name_at(settings: Settings) -> str:
    """The same for a conversation: one of a server with the address, see `split_address`.

    Not one that config.toml has for good, nor one that may hold a secret.
    """
    url = settings.base_url if split_name(settings.model)[0] in SERVERS else ""
    is_lasting = settings.sources.get("base_url", TOML) == TOML
    if is_lasting or not url or re.search(r"[\s@?#]", url):
        return lasting_name(settings)
    return f"{settings.model} {url}"


def short_name(model: str) -> str:
    """What clients call a model that is served: of a folder or a file its name."""
    engine, name = split_name(model)
    if engine == "gguf":
        from glmcli.models.gguf.finding import spoken_name

        return spoken_name(name)
    if engine != "local":
        return model.removesuffix(":")
    path = with_home(name)
    return without_links(path).name if is_folder(path) else name


def folder_lines(settings: Settings) -> list[str]:
    """What to say, in harmless lines, of the model's folder and its adapter: `folder_line`."""
    engine, name = split_name(settings.model)
    if engine == "gguf":
        return [as_told(line) for line in [link_line(with_home(name))] if line]
    if engine != "local":
        return []
    lines = [link_line(with_home(settings.adapter))] if settings.adapter else []
    with suppress(ModelError, OSError):  # told when it is opened
        if is_folder(with_home(name)):
            from glmcli.models.names import folder_line

            lines.insert(0, folder_line(name, settings.model_options))
    return [as_told(line) for line in lines if line]


def is_local(model: str) -> bool:
    """Whether a model is loaded into the memory of this machine."""
    return split_name(model)[0] in LOADED


def is_unnamed(model: str) -> bool:
    """Whether a model is whatever a server has: "openai:", "fastchat:"."""
    return model in ("openai:", "fastchat:")


def full_name(model: str, found: str) -> str:
    """A model with the name that was `found` for it on a server, if it was given without one."""
    return model + found if is_unnamed(model) else model
