"""A question on a terminal: how it is shown, echoed, and understood; yes or no, or another.

Knows nothing of what is asked, nor of how keys come in. The terminal shows nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from glmcli.language import tr
from glmcli.terminal.output import Output
from glmcli.terminal.visible import visible

_T = TypeVar("_T")
ENTER, ERASE, ERASE_ALL = "\r", "\x7f", "\x15"
_YES, _NO = ("y", "yes"), ("", "n", "no")
_LONGEST = 100
"""Characters of an answer that are kept."""


def answer_of(line: str) -> bool | None:
    """What a line answers, nothing at all being no; None if it does not."""
    word = line.strip().lower()
    return word in _YES if word in _YES + _NO else None


def neither() -> str:
    """What is said of a line that answers nothing."""
    return tr("type y or n")


def last_row(question: str) -> str:
    """What is asked, of a question that first shows what it is about."""
    return question.rpartition("\n")[2]


class Question(Generic[_T]):
    """One question on a terminal, which is asked until it is answered.

    `answer_of` understands a line, or gives None; `neither` says what may be typed.
    """

    def __init__(
        self,
        question: str,
        out: Output,
        answer_of: Callable[[str], _T | None],
        neither: Callable[[], str] = neither,
    ) -> None:
        self._question = question
        self._answer_of = answer_of
        self.out = out
        self.neither = neither
        self.text = ""
        """The answer so far."""

    def show(self) -> None:
        """Write the question, and the answer so far."""
        self.out.say(self._question + self.text)

    def ask_again(self, why: str) -> None:
        """Say why what was typed does not answer it, and ask again, without what it is about."""
        from glmcli.terminal.told import in_rows

        self.text = ""
        why = in_rows(why, self.out.size().columns)
        self.out.say(f"\n{why}\n{last_row(self._question)}")

    def take(self, key: str) -> _T | None:
        """The answer that a key completes, if it does: a character, or one of those above."""
        if key == ENTER:
            answer = self._answer_of(self.text)
            if answer is None:
                self.ask_again(self.neither())
            return answer
        if key in (ERASE, ERASE_ALL):
            self._erase(1 if key == ERASE else len(self.text))
        elif len(key) == 1 and key.isprintable() and len(self.text) < _LONGEST:
            self.text += key
            self.out.say(key)
        return None

    def _erase(self, count: int) -> None:
        import wcwidth

        kept = self.text[: max(len(self.text) - count, 0)]
        cells = max(wcwidth.wcswidth(visible(self.text[len(kept) :])), 0)
        self.text = kept
        self.out.write("\b \b" * cells)


def yes_or_no(question: str, out: Output) -> Question[bool]:
    """A question that y or n answers."""
    return Question(question, out, answer_of)
