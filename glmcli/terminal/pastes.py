"""Long pastes: a placeholder in the draft, the whole text in what is sent and remembered."""

from __future__ import annotations

import re

LONG_LINES = 10
LONG_CHARS = 1_000
PLACEHOLDER = re.compile(r"\[paste (\d+): [\d,]+ (?:lines|characters)\]")


class Pastes:
    """The pastes of a session, by number. A placeholder is expanded wherever it stands."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def fold(self, text: str) -> str:
        """`text`, or a placeholder for it if it is long."""
        lines = text.count("\n") + 1
        if lines < LONG_LINES and len(text) < LONG_CHARS:
            return text
        self._texts.append(text)
        size = f"{lines:,} lines" if lines >= LONG_LINES else f"{len(text):,} characters"
        return f"[paste {len(self._texts)}: {size}]"

    def expand(self, text: str) -> str:
        """`text` with every placeholder replaced by what was pasted."""

        def whole(match: re.Match[str]) -> str:
            number = int(match[1])
            return self._texts[number - 1] if 0 < number <= len(self._texts) else match[0]

        return PLACEHOLDER.sub(whole, text)
