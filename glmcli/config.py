"""Settings: option > environment > .env > config.toml > default; each knows where it came from.

Beside language.py the only module that reads the environment. `Settings` is a value: the command
line loads it once and passes it down.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from glmcli.errors import ConfigError
from glmcli.types import GenerationParams

BUILT_IN_MODEL = "smollm2"
DEMONSTRATION = (
    f"{BUILT_IN_MODEL} is a small model for demonstration; "
    "choose a real one with --model or GLM_MODEL: a folder or a hub id."
)
"""Said where nobody chose a model."""
ON = frozenset({"1", "on", "true", "yes"})
OFF = frozenset({"", "0", "off", "false", "no"})
MASK = "********"


def setting(default: Any, help: str, **rules: Any) -> Any:
    """A field of Settings. Rules: choices, low, high, secret, above (an exclusive lower bound)."""
    secret = rules.get("secret", False)
    return field(default=default, repr=not secret, metadata={"help": help, **rules})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of the program. Its environment variable is GLM_ and the name in capitals."""

    model: str = setting(BUILT_IN_MODEL, "folder, hub id, built-in name, or engine:name")
    base_url: str = setting("", "where a remote engine lives")
    api_key: str = setting("", "key for a remote engine; never an option", secret=True)
    template: str = setting("", "chat template of a FastChat worker, if it names the wrong one")
    timeout: float = setting(120.0, "seconds a server may be silent before its reply", above=0.0)
    device: str = setting("auto", "auto, cuda, cuda:N, mps, xpu or cpu")
    dtype: str = setting(
        "auto",
        "number format of the weights",
        choices=("auto", "float32", "float16", "bfloat16"),
    )
    quantize: str = setting("none", "weights in fewer bits", choices=("none", "int8", "int4"))
    attn: str = setting("auto", "attention kernel", choices=("auto", "eager", "sdpa", "flash"))
    fused: bool = setting(True, "the decoder of our own, where it was proven")
    verify: bool = setting(False, "prove the fused decoder again")
    speculate: bool = setting(False, "guess ids from the text so far and check several at once")
    threads: int | None = setting(None, "processor threads; unset: measured", low=1)
    system: str = setting("", "system prompt; @FILE reads a file")
    temperature: float | None = setting(None, "randomness; 0 is greedy", low=0.0)
    top_p: float | None = setting(None, "share of probability kept; 1 is off", above=0.0, high=1.0)
    top_k: int | None = setting(None, "number of tokens kept; 0 is off", low=0)
    repetition_penalty: float | None = setting(None, "above 1 avoids repeating", above=0.0)
    max_tokens: int | None = setting(None, "new tokens at most; unset: the window", low=1)
    stop: tuple[str, ...] = setting((), "a text that ends the reply; repeat for more")
    seed: int | None = setting(None, "makes sampling repeatable", low=0, high=2**63 - 1)
    context: str = setting(
        "auto",
        "when the window is full; auto: stop in ask, drop-oldest in chat",
        choices=("auto", "stop", "drop-oldest", "summarise"),
    )
    think: bool | None = setting(None, "whether a reasoning model reasons")
    thinking: str = setting("fold", "how reasoning is shown", choices=("show", "fold", "hide"))
    home: Path = setting(Path(), "folder of history, prompt history and config.toml")
    cache: Path = setting(Path(), "folder of converted and pulled models")
    history: bool = setting(True, "off writes nothing to disk")
    plain: bool = setting(False, "no Markdown rendering")
    stats: bool = setting(True, "a line with tokens and speed after each reply")
    warm: str = setting(
        "auto",
        "read the prompt while you type; auto: not on battery or a busy machine",
        choices=("auto", "on", "off"),
    )
    vi: bool = setting(False, "vi keys at the prompt")
    notify: float | None = setting(None, "ring after replies of this many seconds", low=0.0)
    offline: bool = setting(False, "never use the network")
    trust_remote_code: bool = setting(False, "run Python that comes with a model")
    debug: bool = setting(False, "tracebacks with errors")
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keys of servers, by host or host:port: the table [keys] of config.toml, and only that."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each value came from: option, environment, .env, config.toml or default."""

    @property
    def params(self) -> GenerationParams:
        """The sampling settings as one value."""
        return GenerationParams(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            repetition_penalty=self.repetition_penalty,
            stop=self.stop,
            seed=self.seed,
            think=self.think,
        )

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """(environment variable, value, source) of every setting; secrets masked."""
        for name, item in table().items():
            value = getattr(self, name)
            if item.metadata.get("secret") and value:
                value = MASK
            yield variable(name), show(value), self.sources.get(name, "default")
        for host in self.keys:
            yield f'keys."{host}"', MASK, self.sources["keys"]


def table() -> dict[str, Field[Any]]:
    """Every setting that has a variable and an option, by name."""
    return {item.name: item for item in fields(Settings) if "help" in item.metadata}


def choices(name: str) -> tuple[str, ...]:
    """The words that a setting may be; none if it is a number or a text."""
    item = table()[name]
    words: tuple[str, ...] = item.metadata.get("choices", ())
    return ("on", "off") if "bool" in str(item.type) else words


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"GLM_{name.upper()}"


def show(value: object) -> str:
    """A setting's value as it would be typed."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return "|".join(value)
    return "" if value is None else str(value)


def load_settings(
    options: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Merge all sources. `options` leaves out what was not typed. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    dotenv = read_dotenv((folder or Path.cwd()) / ".env")
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("option", options),
        ("environment", named(environ, "the environment", strict=False)),
        (".env", named(dotenv, ".env", strict=True)),
    ]
    home, chosen_by = pick("home", layers)
    home = parse("home", home or default_folder("data"), chosen_by)
    toml = read_toml(home / "config.toml")
    # What a folder holds that .env names is to be trusted as much as .env.
    toml_source = ".env" if chosen_by == ".env" else "config.toml"
    layers.append((toml_source, toml))
    values: dict[str, Any] = {"keys": toml.pop("keys", {})}
    sources: dict[str, str] = {"keys": toml_source}
    for name in table():
        raw, source = pick(name, layers)
        if raw is None:
            continue
        values[name] = parse(name, raw, source)
        sources[name] = source
    values["home"] = home
    values.setdefault("cache", default_folder("cache"))
    return Settings(**values, sources=sources)


def pick(name: str, layers: list[tuple[str, Mapping[str, Any]]]) -> tuple[Any, str]:
    """The first layer's value for a setting, and that layer's name."""
    for source, values in layers:
        if values.get(name) is not None:
            return values[name], source
    return None, "default"


def named(variables: Mapping[str, str], where: str, *, strict: bool) -> dict[str, str]:
    """Settings among environment variables. An empty one counts as unset."""
    known = {variable(name): name for name in table()}
    for key in variables:
        if strict and key.startswith("GLM_") and key not in known:
            raise ConfigError(f"{where} sets {key}, which is no setting", hint_for(key, known))
    return {name: variables[key] for key, name in known.items() if variables.get(key)}


def hint_for(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else "glm config show lists all settings"


def parse(name: str, raw: Any, source: str) -> Any:
    """One value in its setting's type and range. Raises ConfigError."""
    item = table()[name]
    kind = str(item.type)
    label = f"--{name.replace('_', '-')}" if source == "option" else f"{variable(name)} ({source})"
    try:
        value = convert(kind, raw)
    except ValueError:
        raise ConfigError(
            f"{label} is {raw!r}, not {wanted(kind)}", item.metadata["help"]
        ) from None
    words = item.metadata.get("choices")
    if words and value not in words:
        raise ConfigError(f"{label} is {value!r}", f"one of: {', '.join(words)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        check_range(label, value, item.metadata)
    return value


def convert(kind: str, raw: Any) -> Any:
    """`raw` as the annotated type `kind`. Raises ValueError."""
    if kind == "Path":
        return home_path(raw)
    if "tuple" in kind:
        return tuple(raw.split("|")) if isinstance(raw, str) else tuple(raw)
    if "bool" in kind:
        if isinstance(raw, bool):
            return raw
        if str(raw).lower() not in ON | OFF:
            raise ValueError(raw)
        return str(raw).lower() in ON
    if "int" in kind and isinstance(raw, float | bool):
        raise ValueError(raw)
    number = int if "int" in kind else float if "float" in kind else str
    return number(raw)


def home_path(raw: Any) -> Path:
    """A path with `~` as the home folder. Raises ValueError if there is no such folder."""
    try:
        return Path(raw).expanduser()
    except RuntimeError as exc:
        raise ValueError(raw) from exc


def wanted(kind: str) -> str:
    """What a value of the annotated type `kind` is, for a person."""
    names = {"Path": "the path of a folder", "bool": "on or off", "int": "a whole number"}
    return next((name for word, name in names.items() if word in kind), "a number")


def check_range(label: str, value: float, rules: Mapping[str, Any]) -> None:
    """Raise ConfigError if a number is out of its setting's bounds."""
    low, high, above = rules.get("low"), rules.get("high"), rules.get("above")
    if value != value or value in (float("inf"), float("-inf")):
        raise ConfigError(f"{label} is {value}", "a finite number is needed")
    if low is not None and value < low:
        raise ConfigError(f"{label} is {value}", f"it must be at least {low}")
    if above is not None and value <= above:
        raise ConfigError(f"{label} is {value}", f"it must be greater than {above}")
    if high is not None and value > high:
        raise ConfigError(f"{label} is {value}", f"it must be at most {high}")


def default_folder(which: str) -> Path:
    """The platform's folder for this program's data or cache."""
    import platformdirs

    if which == "data":
        return Path(platformdirs.user_data_dir("glm"))
    return Path(platformdirs.user_cache_dir("glm"))


def read_dotenv(path: Path) -> dict[str, str]:
    """The variables of a .env file; nothing if there is none. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}", "make it a UTF-8 text file") from exc
    if "GLM_" not in text:
        return {}
    import io

    from dotenv.main import resolve_variables
    from dotenv.parser import parse_stream

    pairs: list[tuple[str, str | None]] = []
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            if found := re.search(r"GLM_\w*", binding.original.string):
                # The rest of the line may be a key.
                raise ConfigError(
                    f"{path}, line {binding.original.line}: {found[0]} cannot be parsed",
                    "write NAME=value, or NAME='a value with blanks'",
                )
        elif binding.key is not None:
            pairs.append((binding.key, binding.value))
    resolved = resolve_variables(pairs, override=False)
    return {key: value for key, value in resolved.items() if value is not None}


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of config.toml, by name; nothing if there is none. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    import tomllib

    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: {exc}", "correct the file, or move it away") from exc
    known = {*table(), "keys"}
    for name in values:
        if name not in known:
            raise ConfigError(f"{path} sets {name!r}, which is no setting", hint_for(name, known))
    if {"api_key", "keys"} & values.keys() and path.stat().st_mode & 0o077:
        raise ConfigError(f"{path} holds a key and others may read it", f"chmod 600 {path}")
    if "keys" in values:
        values["keys"] = read_keys(values["keys"], path)
    return values


def read_keys(entries: object, path: Path, start: str = "") -> dict[str, str]:
    """The keys of the table [keys], by host. Raises ConfigError, which shows none of them."""
    hint = 'under [keys], write "HOST" = "KEY" or "HOST:PORT" = "KEY"'
    if not isinstance(entries, dict):
        raise ConfigError(f"{path}: keys is no table", hint)
    keys: dict[str, str] = {}
    for name, value in entries.items():
        host = f"{start}.{name}" if start else name
        if isinstance(value, dict):  # a.b = "…" without quotes is a table in a table
            keys |= read_keys(value, path, host)
        elif isinstance(value, str) and value and "/" not in host:
            keys[host.lower()] = value
        else:
            raise ConfigError(f"{path}: {host!r} is no host with a key", hint)
    return keys


def wants_traceback() -> bool:
    """Whether errors come with a traceback; asked when settings may not have been loaded."""
    return os.environ.get("GLM_DEBUG", "").lower() in ON or "--debug" in sys.argv
