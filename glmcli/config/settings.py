"""The table of settings: what each is, what it may be, and what the files of a folder may make it.

`Settings` is a value: the command line loads it once and passes it down. Knows nothing of where
values come from, but for the names of the sources.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from glmcli.config.known import BUILT_IN_MODEL
from glmcli.config.near import Ignored, NearRule
from glmcli.config.values import MASK, Malformed, Seconds, hidden_query, parsed
from glmcli.errors import ConfigError
from glmcli.language import later, tr

if TYPE_CHECKING:
    from glmcli.config.models import ModelOptions
    from glmcli.types import GenerationParams

_T = TypeVar("_T")

Change = Literal["more", "only speed", "only replies"]
"""What a setting changes: the prompt, the keys, the bell and the battery are more."""

DEVICE = r"auto|(?:cuda|mps|xpu|cpu)(?::[0-9]{1,4})?"
"""What can be a device, here or elsewhere, as an expression."""

RESUMED = "the conversation"
"""The source of a model that a resumed conversation brings along."""


def setting(default: Any, help: str, near: NearRule, changes: Change = "more", **rules: Any) -> Any:
    """A field of Settings. Rules: choices, low, high, secret, filled (never blank), above (an
    exclusive lower bound), form (an expression for all of it), unit (s: a plain number of seconds),
    beside (what else may have been meant).

    `near` is what the files of a working folder may set it to; own files and options may anything.
    What such a file sets is said, but where it `changes` only how a reply is shown, or its speed.
    """
    rules |= {"help": help, "near": near, "changes": changes}
    return field(default=default, repr=not rules.get("secret", False), metadata=rules)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the program. Its environment variable is GLM_ and the name in capitals."""

    model: str = setting(
        BUILT_IN_MODEL,
        "folder, hub id, built-in name, or openai:NAME, fastchat:NAME, echo:",
        "if known",
        filled=True,
    )
    adapter: str = setting("", "folder of an adapter (LoRA) for the model", "trusted")
    base_url: str = setting("", "where a remote engine lives", "trusted")
    api_key: str = setting("", "key for a remote engine; never an option", "trusted", secret=True)
    template: str = setting(
        "",
        "chat template of a model that has several, or of a FastChat worker with a wrong one",
        "trusted",
    )
    timeout: float = setting(
        120.0,
        "seconds a server may be silent before its reply",
        "yes",
        above=0.0,
        high=1e6,
        unit="s",
    )
    device: str = setting("auto", "auto, cuda, cuda:N, mps, xpu or cpu", "yes", form=DEVICE)
    dtype: str = setting(
        "auto",
        "number format of the weights",
        "yes",
        choices=("auto", "float32", "float16", "bfloat16"),
    )
    quantize: str = setting(
        "none",
        "weights in fewer bits, or as many as fit (auto)",
        "yes",
        choices=("none", "auto", "int8", "int4"),
    )
    attn: str = setting(
        "auto", "attention kernel", "yes", choices=("auto", "eager", "sdpa", "flash")
    )
    fused: bool = setting(True, "the decoder of our own, where it was proven", "yes", "only speed")
    verify: bool = setting(False, "prove the fused decoder again", "yes")
    speculate: bool | None = setting(
        None,
        "guess ids from the text so far and check several at once; unset: where it pays",
        "yes",
        "only speed",
    )
    threads: int | None = setting(
        None, "processor threads; unset: measured", "yes", "only speed", low=1, high=4096
    )
    window: int | None = setting(
        None, "tokens of prompt and reply together; unset: what the model states", "yes", low=1
    )
    system: str = setting("", "system prompt; @FILE reads a file", "if text")
    temperature: float | None = setting(None, "randomness; 0 is greedy", "yes", low=0.0)
    top_p: float | None = setting(
        None, "share of probability kept; 1 is off", "yes", above=0.0, high=1.0
    )
    top_k: int | None = setting(None, "number of tokens kept; 0 is off", "yes", low=0)
    repetition_penalty: float | None = setting(None, "above 1 avoids repeating", "yes", above=0.0)
    max_tokens: int | None = setting(None, "new tokens at most; unset: the window", "yes", low=1)
    stop: tuple[str, ...] = setting((), "a text that ends the reply; repeat for more", "yes")
    seed: int | None = setting(None, "makes sampling repeatable", "yes", low=0, high=2**63 - 1)
    context: str = setting(
        "auto",
        "when the window is full; auto: stop in ask, drop-oldest in chat",
        "yes",
        choices=("auto", "stop", "drop-oldest", "summarise"),
        beside=later("a number of tokens is --window N"),
    )
    think: bool | None = setting(None, "whether a reasoning model reasons", "yes")
    thinking: str = setting(
        "fold",
        "how reasoning is shown",
        "yes",
        "only replies",
        choices=("show", "fold", "hide"),
        beside=later("--no-think keeps a model from reasoning"),
    )
    host: str = setting(
        "127.0.0.1",
        "where glm serve listens; elsewhere than on this machine with a key",
        "never",
        filled=True,
    )
    serve_key: str = setting(
        "", "key that clients of glm serve send; never an option", "never", secret=True
    )
    home: Path = setting(
        Path(), "folder of history and prompt history; if set, of config.toml too", "trusted"
    )
    cache: Path = setting(Path(), "folder of converted and pulled models", "trusted")
    # To keep less than the user wants takes nothing from them but the record, and is said;
    # to keep more, or to use the network where they do not, is not a folder's to decide.
    history: bool = setting(True, "off writes nothing to disk", "if off")
    width: int = setting(
        100,
        "columns of prose at most; 0: the window",
        "yes",
        "only replies",
        low=0,
        high=10_000,
    )
    plain: str = setting(
        "off",
        "no Markdown rendering; reader: for screen readers, nothing drawn twice",
        "yes",
        choices=("off", "on", "reader"),
    )
    stats: bool = setting(
        True, "a line with tokens and speed after each reply", "yes", "only replies"
    )
    warm: str = setting(
        "auto",
        "read the prompt while you type; auto: not on battery or a busy machine",
        "yes",
        choices=("auto", "on", "off"),
    )
    keep: Seconds = setting(
        Seconds(0),
        "how long glm ask keeps its model ready in the background: 90s, 10m, 2h; 0: not at all",
        "trusted",
        high=Seconds(366 * 24 * 3600),
    )
    vi: bool = setting(False, "vi keys at the prompt", "yes")
    notify: float | None = setting(
        None, "ring after replies of this many seconds", "yes", low=0.0, unit="s"
    )
    offline: bool = setting(False, "never use the network", "if on")
    trust_remote_code: bool = setting(False, "run Python that comes with a model", "never")
    debug: bool = setting(False, "tracebacks with errors", "yes")
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keys of servers, by host or host:port: the table [keys] of config.toml, and only that."""
    key_url: str = field(default="", repr=False)
    """The address that `api_key` was given together with; "" if it was given alone."""
    openai_url: str = field(default="", repr=False)
    """What OPENAI_BASE_URL is in the environment; for `openai:` where nothing else is set."""
    openai_slip: str = field(default="", repr=False)
    """A variable with an address that other programs read in the place of that."""
    openai_key: str = field(default="", repr=False)
    """What OPENAI_API_KEY is, which goes to that address or to OpenAI's own, and to no other."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each value came from: option, environment, .env, config.toml or default."""
    ignored: Mapping[str, Ignored] = field(default_factory=dict, repr=False)
    """What a file sets and was not taken, by the name of the setting."""
    config_file: Path = field(default=Path(), repr=False)
    """The config.toml that was looked for."""
    problems: tuple[str, ...] = ()
    """What else is wrong with the files that settings come from."""
    left_behind: str = ""
    """The line about a config.toml of the user's that is not read; "" if there is none."""
    strange: tuple[str, ...] = ()
    """Names of config.toml that are no settings: every command says them that goes on."""

    @property
    def params(self) -> GenerationParams:
        """The sampling settings as one value."""
        from glmcli.types import GenerationParams

        return cut(GenerationParams, self)

    @property
    def is_plain(self) -> bool:
        """Whether replies are shown as they are written."""
        return self.plain != "off"

    @property
    def is_home_own(self) -> bool:
        """Whether the user chose the data folder: nobody looked at what lies in one of a `.env`."""
        return self.sources.get("home") != ".env"

    @property
    def model_options(self) -> ModelOptions:
        """What a model in this process needs of them."""
        from glmcli.config.models import Cache, ModelOptions

        source = self.sources.get("model", "option")
        return cut(
            ModelOptions,
            self,
            cache=Cache(self.cache, may_write=self.history),
            untyped_model="" if source == "option" else self.model,
            is_resumed=source == RESUMED,
        )

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """(environment variable, value, source) of every setting; secrets masked."""
        for name in setting_fields():
            value = masked(name, getattr(self, name))
            yield variable(name), value, self.sources.get(name, "default")
        if not (self.base_url or self.api_key):
            if self.openai_url:
                yield "OPENAI_BASE_URL", masked("base_url", self.openai_url), "environment"
            if self.openai_key:
                yield "OPENAI_API_KEY", MASK, "environment"
        if "keys" in self.ignored:
            yield entry("keys"), "", self.sources["keys"]
        for host in self.keys:
            yield f'keys."{host}"', MASK, self.sources["keys"]

    def not_taken(self) -> dict[str, str]:
        """By environment variable: which value was ignored, and why; secrets masked."""
        return {
            entry(name): tr(
                "{value!r} of {source} ({why})",
                value=masked(name, item.value),
                source=item.source,
                why=tr(item.why),
            )
            for name, item in self.ignored.items()
        }


def cut(kind: type[_T], settings: Settings, **others: Any) -> _T:
    """A dataclass filled with the settings of the same names; `others` are its other fields."""
    make: Any = kind
    names = [item.name for item in fields(make) if item.name not in others]
    part: _T = make(**{name: getattr(settings, name) for name in names}, **others)
    return part


def setting_fields() -> dict[str, Field[Any]]:
    """Every setting that has a variable and an option, by name."""
    return {item.name: item for item in fields(Settings) if "help" in item.metadata}


def choices(name: str) -> tuple[str, ...]:
    """The words that a setting may be; none if it is a number or a text."""
    item = setting_fields()[name]
    words: tuple[str, ...] = item.metadata.get("choices", ())
    return ("on", "off") if "bool" in str(item.type) else words


def is_one_word(name: str, value: str) -> bool:
    """Whether a setting's value is a name without blanks, and no path that is there."""
    item = setting_fields().get(name)
    if item is None or name == "system" or str(item.type) not in ("str", "Path"):
        return False
    is_name = not {"choices", "secret"} & {*item.metadata}
    return is_name and not os.path.exists(os.path.expanduser(value))  # noqa: PTH110, PTH111


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"GLM_{name.upper()}"


def entry(name: str) -> str:
    """A setting, or the table of keys, as a file of settings has it."""
    return "[keys]" if name == "keys" else variable(name)


def show(value: object) -> str:
    """A setting's value as it would be typed."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return "|".join(value)
    return "" if value is None else str(value)


def masked(name: str, value: object) -> str:
    """The same for a person to read: a key, and what is secret in an address, are hidden."""
    if isinstance(value, Malformed):
        return tr("(line {value:d} cannot be parsed)", value=value)
    if value and (name == "keys" or setting_fields()[name].metadata.get("secret")):
        return MASK
    text = show(value)
    if name == "base_url":
        text = hidden_query(text)
        scheme, slashes, rest = text.partition("//") if "//" in text else ("", "", text)
        host = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
        _, at, place = host.rpartition("@")
        shown = f"{MASK}@{ascii_host(place)}" if at else ascii_host(host)
        return f"{scheme}{slashes}{shown}{rest.removeprefix(host)}"
    return text


def ascii_host(host: str) -> str:
    """A host as it is looked up: letters that only look like others become visible."""
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host.encode("ascii", "backslashreplace").decode("ascii")


def parse(name: str, raw: Any, source: str) -> Any:
    """One value in its setting's type and range. Raises ConfigError."""
    item = setting_fields()[name]
    label = f"--{name.replace('_', '-')}" if source == "option" else f"{variable(name)} ({source})"
    if isinstance(raw, Malformed):
        raise ConfigError(
            tr(
                "{source}, line {raw:d}: {variable} cannot be parsed",
                source=source,
                raw=raw,
                variable=variable(name),
            ),
            tr("write NAME=value, or NAME='a value with blanks'"),
        )
    return parsed(raw, str(item.type), label=label, rules=item.metadata)
