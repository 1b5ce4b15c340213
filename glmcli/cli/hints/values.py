"""Values of options, put right as far as that is clear."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from glmcli.cli.hints.elsewhere import VALUES_ELSEWHERE
from glmcli.cli.hints.line import names_table, nearest_word
from glmcli.cli.hints.tree import role_list, takes_value
from glmcli.config import setting_fields
from glmcli.config.known import BUILT_IN_MODEL
from glmcli.config.servers import with_scheme
from glmcli.config.values import meant_number, plain_signs
from glmcli.paths import is_file, is_something, system_as_word, with_home

_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]*)")
_UNITS = {"s": "s", "m": "m", "h": "h", "d": "d"}
_UNIT_WORD = re.compile(
    r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|k|%|tokens?|ms", re.IGNORECASE
)
_OF_SERVER = re.compile(r"(openai|fastchat):? +([\w./-]*[0-9][\w.:/-]*)")
"""A model of a server, with a blank in its name."""
AS_TYPED = ("system", "stop", "prompt", "template")
"""Options whose value is a text, in which signs of full width have their place."""
NAME_WORDS = 6
"""So many words may be one name of a file that was not quoted."""


def value_right(value: str, option: Any, rest: list[str]) -> list[str]:
    """A value as the option takes it, or several; words of the rest that belong to it are taken."""
    if "--file" in option.opts:
        return files_right(value, rest)
    if option.name == "system" and system_as_word(value):
        return [f"@{value}"]
    value = value if option.name in AS_TYPED or names_file(value) else plain_signs(value)
    if option.name == "prompts":
        while rest and rest[0].isdecimal():
            value = f"{value.rstrip(',')},{rest.pop(0)}"
        return [re.sub(r"[;/ ]+", ",", value)]
    rows = names_table(VALUES_ELSEWHERE).get(option.name, {})
    known = {name: here for names, here in rows.items() for name in names.split()}
    here = known.get(value.lower(), value)
    if option.name == "model" and (near := near_built_in(here)):
        return [near]
    if option.name == "model" and rest[1:] and _OF_SERVER.fullmatch(f"{value} {rest[0]}"):
        value = here = f"{value} {rest.pop(0)}"
    item = setting_fields().get(option.name)
    kind = str(item.type) if item else type(option.type).__name__.lower()
    is_number = re.search("int|float|Seconds", kind)
    is_united = is_number and rest and value[-1:].isdecimal() and _UNIT_WORD.fullmatch(rest[0])
    if is_united and len(rest[0]) > 1 and "token" not in rest[0]:
        value = here = f"{value} {rest.pop(0)}"
    if takes_value(here, option):
        return [here]
    if is_united and rest and len(rest[0]) == 1:
        value += rest.pop(0)
    return [near_value(value, option, kind)]


def near_built_in(value: str) -> str:
    """The name of the built-in model for one that is nearly that, or begins with it; "" else."""
    name = value.partition(":")[0]
    return nearest_word(name if name == BUILT_IN_MODEL else value, (BUILT_IN_MODEL,))


def near_value(value: str, option: Any, kind: str) -> str:
    """The value that was meant by one that does not fit; the same where that is not clear."""
    item = setting_fields().get(option.name)
    near = ""
    if "Seconds" in kind:
        near = in_time(value)
    elif "int" in kind or "float" in kind:
        rules = item.metadata if item else {}
        word = re.sub(r"([0-9]) ?([a-z])[a-z]*$", r"\1\2", value.strip().lower())
        near = meant_number(word, kind, rules)
        digits = re.match("[0-9]+(?![0-9]*[kKmM]$)", value)
        near = digits[0] if item is None and digits else near
    elif option.name == "base_url":
        near = with_scheme(value)
    elif option.name == "device":
        near = (
            "cuda"
            if "," in value
            else re.sub(r"^(cuda|gpu)[:_-]?([0-9]+).*", r"cuda:\2", value.lower())
        )
    elif option.name == "model":
        near = _OF_SERVER.sub(r"\1:\2", value)
    if near and takes_value(near, option):
        return near
    names = getattr(option.type, "choices", None) or ()
    names = (item.metadata.get("choices") if item else ()) or names
    names = role_list() if option.name == "role" else names
    known = [str(getattr(name, "value", name)) for name in names]
    return nearest_word(value.lower(), known, 0.6) or value


def in_time(value: str) -> str:
    """A time in the units that are known here: `10 minutes` is `10m`, a plain number seconds."""
    found = _TIME.fullmatch(value.strip().lower())
    unit = _UNITS.get(found[2][:1] or "s", "") if found and found[2] != "ms" else ""
    if not found or not unit:
        return ""
    if unit == "d":
        return f"{float(found[1]) * 24:g}h"
    return f"{found[1]}{unit}"


def files_right(value: str, rest: list[str]) -> list[str]:
    """The names of the files that were meant: `a.py,b.py`, words of one name, a pattern's files."""
    value = value.removeprefix("@") or value
    if not names_file(value):
        for n in range(1, min(len(rest), NAME_WORDS) + 1):
            joined = " ".join([value, *rest[:n]])
            if is_file(Path(joined)):
                del rest[:n]
                return [joined]
        parts = [part for part in re.split("[,;，；、] ?", value) if part]
        if parts[1:] and all(map(names_file, parts)):
            return parts
        return [value]
    names = [value]
    while rest and is_file(Path(rest[0])) and "." in rest[0]:
        names.append(rest.pop(0))
    return names


def names_file(name: str) -> bool:
    """Whether a name is that of a file or a folder."""
    return is_something(with_home(name))


def setting_value(name: str, words: Sequence[str]) -> list[str]:
    """The words of a setting's value as one, put right as its option's would be."""
    from glmcli.cli.hints.taking import value_flags
    from glmcli.cli.hints.tree import command_at

    text = " ".join(words)
    takers = value_flags(command_at(["ask"])) | value_flags(command_at(["serve"]))
    option = next((each for each in takers.values() if each.name == name), None)
    return value_right(text, option, []) if option is not None and text else [text]


def question_in(body: str, field: str = "prompt") -> str:
    """The question, or another field, in a body of JSON for a server; "" if it has none."""
    with suppress(ValueError, TypeError, LookupError, AttributeError):
        known = json.loads(body)
        text = known.get(field) or (field == "prompt" and known["messages"][-1]["content"])
        return text if isinstance(text, str) else ""
    return ""


def pair_of(rest: list[str]) -> list[str]:
    """`temperature 0.5` or `temperature=0.5` behind an option of pairs, as our option."""
    name, equals, value = rest[0].partition("=")
    if name.replace("-", "_") not in setting_fields() or not (equals or rest[1:]):
        return []
    value = value if equals else rest.pop(1)
    del rest[0]
    return [f"--{name.replace('_', '-')}", value]
