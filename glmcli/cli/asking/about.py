"""A question and the long text that it is about, and how a model is asked for it in parts.

What all prompts for parts share stands first, so that an engine reads it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glmcli.types import Message

PART = "Be brief. Part {number} of {count} of the text:"
NOTES = "Notes on the text, part by part:"
BEGINNING = 80
"""Characters of a text that stand for it."""


@dataclass(frozen=True, slots=True)
class LongText:
    """A question, and the text that it is about: piped, or files under their headers."""

    question: str
    """As it was typed; "" if the system prompt or a role says what to do."""
    text: str
    framed: Callable[[str], str] = str
    """Puts the words of a role around what the user says."""
    headers: Sequence[str] = ()
    """Those of the files in it."""

    def prompt(self, *pieces: str) -> Message:
        """The question, then what is to be said to it."""
        return Message("user", self.framed("\n\n".join(filter(None, [self.question, *pieces]))))

    def part(self, number: int, count: int, text: str) -> Message:
        """The question about one part."""
        return self.prompt(PART.format(number=number, count=count), text)

    def combined(self, answers: Sequence[str]) -> Message:
        """The question about answers to it; again at the end, where small models heed it."""
        return self.prompt(NOTES, *answers, self.question)

    def kept(self) -> str:
        """What the history keeps of it: the question, with the headers of the files.

        Without a question it is the beginning of the text, in the words of the role.
        """
        if not self.question:
            return self.framed(self.text[:BEGINNING].rstrip() + "…")
        return "\n\n".join([self.question, *self.headers])
