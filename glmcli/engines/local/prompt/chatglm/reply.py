"""What ChatGLM writes, as a person reads it: no blanks around it, tool calls as code.

Knows nothing of ids. A model's reply has parts: text, then perhaps the name of a tool, a newline
and what the tool is given. `ReplyText` shows them as one text; `split_reply` gives the parts back.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection

from glmcli.conversation.reasoning import held_back

TRAINED = "[[训练时间]]"
"""What the model writes for the date of its training; the original code fills in the year."""
TRAINED_YEAR = "2023年"
INTERPRETER = "interpreter"
"""The tool that ChatGLM3 calls without having been offered it."""
_GAP = "\n\n"
"""Between the parts of a reply."""

NAME_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]{0,63})[ \t]*")
CALL_START = "```python\ntool_call("
CALL = re.compile(r"```python\n(?P<name>[\w.-]+)\((?P<arguments>.*)\)\n?```", re.DOTALL)


class ReplyText:
    """One reply's text as it arrives: joined, `push` and `flush` return the shown text."""

    def __init__(self, *, goes_on: bool = False, parts: bool = True) -> None:
        self._shown = goes_on
        self._head = ""
        self._part: Body | Named | None = None
        if goes_on or not parts:
            self._part = Body(started=goes_on)

    def push(self, text: str) -> str:
        """The text that is certain now; "" while a first line may still be a tool's name."""
        if self._part is None:
            self._head += text
            self._part, text = self._begin()
        return self._show(self._part.push(text)) if self._part else ""

    def _begin(self) -> tuple[Body | Named | None, str]:
        """The part that its first line tells, and its text so far; None while that is open."""
        first, newline, rest = self._head.partition("\n")
        name = NAME_LINE.fullmatch(first)
        if newline and name:
            return Named(name[1]), rest
        if not first.strip():
            return (Body(), rest) if newline else (None, "")
        return (None, "") if name and not newline else (Body(), self._head)

    def next_part(self) -> str:
        """Another part begins; returns the text held back of the last."""
        text = self.flush()
        self._part, self._head = None, ""
        return text

    def flush(self) -> str:
        """What was held back, incomplete as it is."""
        if self._part is not None:
            return self._show(self._part.flush())
        if not self._head.strip():
            return ""
        self._part, head, self._head = Body(), self._head, ""
        return self._show(self._part.push(head))

    def _show(self, text: str) -> str:
        """`text`, with a gap before it if an earlier part was shown."""
        if not text or self._part is None:
            return text
        gap = _GAP if self._shown and not self._part.shown else ""
        self._shown = self._part.shown = True
        return gap + text


class Body:
    """Plain text: blanks around it dropped, the date of training filled in."""

    def __init__(self, *, started: bool = False, dated: bool = True) -> None:
        self.shown = started
        self._dated = dated
        self._held = ""

    def push(self, text: str) -> str:
        """The text that is certain now: without blanks at its end, or half the date's mark."""
        self._held += text
        if not self.shown:
            self._held = self._held.lstrip()
        half = 0
        if self._dated:
            self._held = self._held.replace(TRAINED, TRAINED_YEAR)
            half = held_back(self._held, (TRAINED,))
        end = len(self._held) - half if half else len(self._held.rstrip())
        certain, self._held = self._held[:end], self._held[end:]
        return certain

    def flush(self) -> str:
        """Half a mark, if one was held back. Blanks wait for more text."""
        if not self._held.strip():
            return ""
        certain, self._held = self._held, ""
        return certain


class Named:
    """What a tool is given: a literal `tool_call(...)` as a call of that tool, else as it is."""

    def __init__(self, name: str) -> None:
        self.shown = False
        self._name = name
        self._content = ""
        self._body: Body | None = None

    def push(self, text: str) -> str:
        """The text that is certain now; "" while this may be a call."""
        if self._body:
            return self._body.push(text)
        self._content += text
        content = self._content.removeprefix(" ")
        if content.startswith(CALL_START) or CALL_START.startswith(content):
            return ""
        self._body = Body(started=True, dated=False)
        return self._body.push(self._plain())

    def flush(self) -> str:
        """The call, if it is whole and literal; else the model's own text."""
        if self._body:
            return self._body.flush()
        self._body = Body(started=True, dated=False)
        content = self._content.strip()
        if literal_call(content) is None:
            return self._plain().rstrip()
        return content.replace("tool_call", self._name, 1)

    def _plain(self) -> str:
        """The model's own text. The blank that it writes before a fence is not part of it."""
        blank = " " if self._content.startswith(" `") else ""
        return f"{self._name}\n{self._content.removeprefix(blank)}"


def literal_call(text: str) -> dict[str, object] | None:
    """The arguments of a fenced `name(keyword=literal, ...)`, or None. Nothing is evaluated."""
    match = CALL.fullmatch(text)
    if not match:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes in the model's strings
            call = ast.parse(f"call({match['arguments']})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            return None
        arguments = {item.arg: ast.literal_eval(item.value) for item in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return None if None in arguments else {str(name): arguments[name] for name in arguments}


def split_reply(text: str, tools: Collection[str]) -> list[tuple[str, str]]:
    """The parts (tool or "", text) that `ReplyText` showed as `text`; only known tools count."""
    before, _, last = text.rpartition(_GAP)
    call = CALL.fullmatch(last)
    if call and call["name"] in tools and literal_call(last) is not None:
        part = (call["name"], CALL_START + last[call.start("arguments") :])
        return [("", before), part] if before else [part]
    names = "|".join(re.escape(name) for name in {*tools, INTERPRETER})
    named = re.search(rf"(?:\A|\n\n)({names})\n(.*)\Z", text, re.DOTALL)
    if not named:
        return [("", text)]
    before, part = text[: named.start()], (named[1], named[2])
    return [("", before), part] if before else [part]
