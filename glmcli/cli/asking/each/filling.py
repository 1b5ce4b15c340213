"""A prompt with places for the fields of a line: "Translate: {text}". Knows nothing of lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from glmcli.errors import UsageError
from glmcli.files import json_text
from glmcli.harmless import quoted
from glmcli.language import tr
from glmcli.paths import check_utf8

_PLACE = re.compile(r"\{\{([\w.-]+)\}\}|\{([\w.-]+)\}")
"""A name in two pairs of braces, which is to have one, or a field; all other braces are text."""
WHOLE_LINE = "text"
"""The field that a line of plain text is."""


class FilledPrompt:
    """A prompt that is the same for each line but for what the fields of the line say."""

    def __init__(self, text: str) -> None:
        """Raises UsageError for one that would be the same for all lines."""
        check_utf8(text, tr("the prompt is not valid UTF-8"))
        self._text = text
        self.names = [found[2] for found in _PLACE.finditer(text) if found[2]]
        if not self.names:
            raise UsageError(
                tr("--prompt names no field, so that every line would ask the same"),
                tr('{{text}} is the line: --prompt "Translate: {{text}}"'),
            )

    @staticmethod
    def can_name(name: str) -> bool:
        """Whether a field can stand in a prompt."""
        return bool(_PLACE.fullmatch(f"{{{name}}}"))

    def filled(self, fields: Mapping[str, Any]) -> str:
        """The prompt for a line; what a field says is text. Raises UsageError for unknown ones."""

        def value(found: re.Match[str]) -> str:
            if found[1]:
                return f"{{{found[1]}}}"
            said = fields.get(found[2])
            if said is None:
                raise UsageError(
                    tr("the line has no value for {name}", name=quoted(found[2])), there_are(fields)
                )
            return said if isinstance(said, str) else json_text(said)

        return _PLACE.sub(value, self._text)


def there_are(fields: Mapping[str, Any]) -> str:
    """Which fields a line has that can be sent, as a hint."""
    names = ", ".join([name for name, value in fields.items() if value is not None][:10])
    return tr("its fields: {names}", names=names) if names else tr("it has none")
