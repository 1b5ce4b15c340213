"""One value of a setting, as it was written, in its setting's type and range.

Knows nothing of which settings there are, nor of where a value came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from glmcli.errors import ConfigError
from glmcli.harmless import quoted
from glmcli.language import in_one_line, later, tr

ON = frozenset({"1", "on", "true", "yes"})
OFF = frozenset({"", "0", "off", "false", "no"})
MASK = "********"
READ_SECRETS: set[str] = set()
"""Every key that this process has read, or was given: no error of its own shows one."""
_SECRET_NAME = re.compile(r"key|token|secret|pass|pwd|auth|sig|code|cred", re.IGNORECASE)
_NO_SECRET = re.compile(
    r"v?[0-9]{1,4}(?:[.-][0-9]{1,4})*(?:-?(?:preview|alpha|beta|rc)[0-9]{0,2})?|[a-z]{0,15}",
    re.IGNORECASE,
)
"""A version, a date or a word: what the query of an address has that is no secret."""


_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|m|h)")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_OF_SECONDS = {**_UNITS, "min": 60, "sec": 1, "ms": 0.001}
_OF_COUNTS = {"k": 1000, "m": 1_000_000}
_OF_SHARES = {"%": 0.01}
"""How much of a setting's own unit is one that was typed behind a number."""
_WITH_UNIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([a-z]{1,3}|%)")
_UNIT = re.compile(r"[0-9] ?(?:[a-z]{1,3}(?![a-z])|%)")
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+")
_NARROW = str.maketrans("。、", ".,")


class Seconds(float):
    """A time that is written with its unit: 90s, 10m, 2h. 0 is off."""

    def __str__(self) -> str:
        """As it would be typed, in the largest unit that leaves no fraction."""
        for unit in ("h", "m"):
            if self and not self % _UNITS[unit]:
                return f"{self / _UNITS[unit]:.0f}{unit}"
        return f"{float(self):.3f}".rstrip("0").rstrip(".") + "s" if self else "0"

    __repr__ = __str__


def as_duration(raw: Any) -> Seconds:
    """A time as it was written. Raises ValueError."""
    if isinstance(raw, Seconds):
        return raw
    word = text_value(str(raw) if type(raw) in (int, float) else raw).strip().lower()
    if word in OFF:
        return Seconds(0)
    found = _DURATION.fullmatch(word)
    if found is None:
        raise ValueError(raw)
    return Seconds(float(found[1]) * _UNITS[found[2]])


class Malformed(int):
    """The line of a value that cannot be read. It stands for the value, which may be a key."""


def parsed(raw: Any, kind: str, *, label: str, rules: Mapping[str, Any]) -> Any:
    """`raw` as the annotated type `kind`, within its `rules`. Raises ConfigError."""
    if rules.get("secret"):
        READ_SECRETS.add(str(raw))
    shown = MASK if rules.get("secret") else quoted(raw) if isinstance(raw, str) else repr(raw)
    try:
        value = converted(kind, raw)
    except (ValueError, TypeError):
        raise ConfigError(
            tr("{label} is {shown}, not {wanted}", label=label, shown=shown, wanted=wanted(kind)),
            number_hint(raw, kind, rules),
        ) from None
    if rules.get("filled") and not value.strip():
        raise ConfigError(tr("{label} is empty", label=label), tr(rules["help"]))
    if (form := rules.get("form")) and not re.fullmatch(form, value):
        raise ConfigError(
            tr("{label} cannot be {value!r}", label=label, value=value), tr(rules["help"])
        )
    words = rules.get("choices")
    if words and {"on", "off"} <= {*words}:
        value = as_switch(value)
    if words and value not in words:
        hint = tr("one of: {names}", names=", ".join(words))
        in_chat = hint  # where options are none
        if "beside" in rules:
            hint = tr("; ").join([hint, tr(rules["beside"])])
        message = tr("{label} cannot be {value!r}", label=label, value=value)
        raise ConfigError(message, hint, in_chat=in_chat)
    if isinstance(value, int | float) and not isinstance(value, bool):
        check_range(label, value, rules)
    return value


def number_hint(raw: Any, kind: str, rules: Mapping[str, Any]) -> str:
    """What to write in place of what is no number; the meaning of the setting for all others."""
    meaning = tr(rules["help"])
    if "bool" in kind:
        return tr("one of: {names}", names="on, off")
    if "int" not in kind and "float" not in kind:
        return meaning
    near = meant_number(str(raw).strip().lower(), kind, rules)
    with suppress(ValueError, ConfigError):
        check_range("", converted(kind, near), rules)
        return tr("did you mean {near}?", near=near)
    example = "100" if "int" in kind else "0.5"
    return tr("a number, as {example}: {what}", example=example, what=meaning)


def plain_signs(text: str) -> str:
    """A text with plain signs, letters and digits in the place of those of full width."""
    from unicodedata import normalize

    return normalize("NFKC", text).translate(_NARROW)


def meant_number(word: str, kind: str, rules: Mapping[str, Any]) -> str:
    """The one number in a text, in its setting's own unit; "" if that is unclear."""
    if in_unit := _WITH_UNIT.fullmatch(word):
        factors = _OF_COUNTS if "int" in kind else _OF_SHARES if rules.get("high") == 1 else {}
        factors = _OF_SECONDS if rules.get("unit") == "s" else factors
        number = round(float(in_unit[1]) * factors.get(in_unit[2], float("nan")), 6)
        return f"{number:.15g}"
    found = re.findall(r"[0-9]+(?:[.,][0-9]+)*|\.[0-9]+", word)
    if len(found) != 1 or "-" in word or _UNIT.search(word):
        return ""
    if _THOUSANDS.fullmatch(found[0]):
        return str(found[0].replace(",", ""))
    is_share = rules.get("high") == 1 and re.fullmatch("[0-9]{2,3}", found[0])
    return meant_number(f"{found[0]}%", kind, rules) if is_share else found[0].replace(",", ".")


def converted(kind: str, raw: Any) -> Any:
    """`raw` as the annotated type `kind`. Raises ValueError, TypeError."""
    if kind == "Path":
        return home_path(text_value(raw))
    if kind == "Seconds":
        return as_duration(raw)
    if "tuple" in kind:
        words = tuple(raw.split("|")) if isinstance(raw, str) else tuple(raw)
        if not all(isinstance(word, str) for word in words):
            raise ValueError(raw)
        return words
    if "bool" in kind:
        if isinstance(raw, bool):
            return raw
        if str(raw).lower() not in ON | OFF:
            raise ValueError(raw)
        return str(raw).lower() in ON
    if kind == "str":
        return text_value(raw)
    if isinstance(raw, bool) or ("int" in kind and isinstance(raw, float)):
        raise ValueError(raw)
    return int(raw) if "int" in kind else float(raw)


def as_switch(word: str) -> str:
    """The other words for on and off, as these; all else as it is."""
    return "on" if word.lower() in ON else "off" if word.lower() in OFF - {""} else word


def text_value(raw: Any) -> str:
    """A text that files and programs can take. Raises ValueError."""
    if isinstance(raw, bool):
        return "on" if raw else "off"
    if not isinstance(raw, str | Path) or "\0" in str(raw):
        raise ValueError(raw)
    return str(raw)


def home_path(raw: str) -> Path:
    """A path with `~` as the home folder. Raises ValueError if there is no such folder."""
    try:
        return Path(raw).expanduser()
    except RuntimeError as exc:
        raise ValueError(raw) from exc


def wanted(kind: str) -> str:
    """What a value of the annotated type `kind` is, for a person."""
    names = {
        "Seconds": later("a time such as 90s, 10m or 2h"),
        "Path": later("the path of a folder"),
        "bool": later("on or off"),
        "int": later("a whole number"),
        "float": later("a number"),
        "tuple": later("a list of texts"),
    }
    return tr(next((name for word, name in names.items() if word in kind), later("a text")))


def check_range(label: str, value: float, rules: Mapping[str, Any]) -> None:
    """Raise ConfigError if a number is out of its setting's bounds."""
    low, high, above, hint = rules.get("low"), rules.get("high"), rules.get("above"), ""
    if value != value or value in (float("inf"), float("-inf")):
        hint = tr("a finite number is needed")
    elif low is not None and value < low:
        hint = tr("it must be at least {low}", low=low)
    elif above is not None and value <= above:
        hint = tr("it must be greater than {above}", above=above)
    elif high is not None and value > high:
        hint = tr("it must be at most {high}", high=high)
        if high == 1 and 10 <= value <= 100:
            hint = in_one_line(hint, tr("did you mean {near}?", near=f"{value / 100:g}"))
    if hint:
        raise ConfigError(tr("{label} cannot be {value}", label=label, value=value), hint)


def query_secrets(url: str) -> list[str]:
    """The values in the query of an address that may be secrets, decoded."""
    return [unquote_plus(value) for _, value, is_secret in _query_of(url) if is_secret and value]


def hidden_query(url: str) -> str:
    """An address for a person to read, with a mask for each of them."""
    shown = (
        f"{name}{MASK if is_secret and value else value}"
        for name, value, is_secret in _query_of(url)
    )
    start, mark, _ = url.partition("?")
    return start + mark + "&".join(shown)


def _query_of(url: str) -> Iterator[tuple[str, str, bool]]:
    """The parts of a query: the name with its "=", the value, and whether it may be a secret."""
    for part in filter(None, url.partition("?")[2].split("&")):
        name, mark, value = part.partition("=")
        name, value = (name + mark, value) if mark else ("", part)
        is_known = _NO_SECRET.fullmatch(unquote_plus(value)) is not None
        yield name, value, not is_known or _SECRET_NAME.search(name) is not None
