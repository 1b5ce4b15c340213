"""What the files of a folder may decide about a program that is run in it, and what they may not.

A rule for each setting says it. Knows neither which settings there are nor who trusts a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from glmcli.config.known import is_known_model
from glmcli.config.values import OFF, ON
from glmcli.language import later

NearRule = Literal["yes", "if on", "if off", "if text", "if known", "trusted", "never"]
"""From a folder: any value; one that gives nothing away (to switch on or off, a plain text, a model
of this machine), all others once the folder is trusted; nothing before that; nothing at all."""

UNTRUSTED = later("not trusted: run glm config trust")
NEVER = later("a folder never decides that")
BESIDE = later("a .env chose that folder")
"""That the `.env` is trusted is not enough: nobody looked at this file when that was said."""


class Ignored(NamedTuple):
    """A value that was not taken."""

    source: str
    value: Any
    why: str


Sifted = tuple[dict[str, Any], dict[str, Ignored]]
"""What is taken, and what is not."""


def sifted(
    values: Mapping[str, Any],
    *,
    rules: Mapping[str, NearRule],
    trusted: bool,
    folder: Path,
    environ: Mapping[str, str],
    source: str = ".env",
    untrusted: str = UNTRUSTED,
) -> Sifted:
    """What of a folder's values may be taken, and what not. A name without a rule never is."""
    taken: dict[str, Any] = {}
    ignored: dict[str, Ignored] = {}
    for name, value in values.items():
        rule = rules.get(name, "never")
        if rule == "never":
            ignored[name] = Ignored(source, value, NEVER)
        elif trusted or is_harmless(rule, value, folder, environ):
            taken[name] = value
        else:
            ignored[name] = Ignored(source, value, untrusted)
    return taken, ignored


def is_harmless(rule: NearRule, value: Any, folder: Path, environ: Mapping[str, str]) -> bool:
    """Whether a folder that nobody trusts may set this value."""
    if rule == "yes":
        return True
    word = str(value).lower()
    if rule == "if on":
        return word in ON
    if rule == "if off":
        return word in OFF
    if not isinstance(value, str):
        return False
    if rule == "if text":
        return not value.startswith("@")
    return rule == "if known" and is_known_model(value, folder, environ)
