"""What no field of a checkpoint's JSON files may hold, at any depth, whatever it is called.

Knows nothing of what fields mean: see fields.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from glmcli.language import tr
from glmcli.models.files.fields import MOST_IDS, wrong
from glmcli.models.files.kinds import FieldKind

CODE_FIELD = "_implementation"
"""In the name of a field that says which code computes something: attention, experts."""


def names_code_here(value: Any) -> bool:
    """Whether it names code that is installed, not a repository whose code would be fetched."""
    each = value.values() if isinstance(value, dict) else [value]
    return all(not isinstance(name, str) or re.fullmatch(r"\w*", name) for name in each)


CODE_HERE = FieldKind(
    lambda: tr("the name of code that is installed, such as sdpa"), names_code_here
)
NOT_LONG = FieldKind(
    lambda: tr("a text or a list of at most {most:,}", most=MOST_IDS),
    lambda value: not isinstance(value, str | list) or len(value) <= MOST_IDS,
)
"""Of what no table knows: a letter, or a value, for each layer is as much as there is."""


def check_lengths(config: Mapping[str, Any], where: str) -> None:
    """Raise ModelError for a text or a list of which a library would build without end.

    A quantised model may name hundreds of thousands of layers that are not.
    """
    for path, value in each_value({**config, "quantization_config": None}):
        if not NOT_LONG.fits(value):
            raise wrong(where, path, value, NOT_LONG)


def check_code(value: Any, where: str) -> None:
    """Raise ModelError for a field, at any depth, that names code to be fetched from the hub.

    A library would fetch it, and run it as native code, without being told to trust it.
    """
    for path, each in each_value(value):
        if CODE_FIELD in path.rpartition(".")[2] and not CODE_HERE.fits(each):
            raise wrong(where, path, each, CODE_HERE)


def each_value(value: Any) -> Iterator[tuple[str, Any]]:
    """What is in a value of JSON, at any depth, with its path: names and numbers, with dots."""
    left = [("", value)]
    while left:
        path, part = left.pop()
        inner = enumerate(part) if isinstance(part, list) else part.items()
        for name, each in inner:
            yield f"{path}{name}", each
            if isinstance(each, dict | list):
                left.append((f"{path}{name}.", each))
