"""What a delta holds: text, thinking, and what is neither, in the shapes that servers give them.

A text is a string, an object that has one, or a list of such. Knows nothing of events.
"""

from __future__ import annotations

from collections.abc import Collection

from glmcli.engines.remote.stream import WholeLetters, text_of
from glmcli.language import later, tr

THINKING = (
    *("reasoning", "reasoning_content", "reasoning_text", "reasoningContent"),
    *("thinking", "thinking_content", "thought", "thoughts"),
)
"""What servers call the thinking in a delta."""
THOUGHT_PARTS = ("reasoning_details", "thinking_blocks")
"""The same again in parts, as OpenRouter and LiteLLM send it."""
HOLD_TEXT = ("text", "value", "content", "parts", "summary", "thinking", "reasoning", "thought")
"""Where an object has its text; the first that is there counts."""
MEDIA = ("image", "audio", "video")
ODD, OTHER_TEXT = "odd", "other text"
OTHER_FORMS = {
    "image": later("an image"),
    "audio": later("audio"),
    "video": later("a video"),
    ODD: later("data in an unknown form"),
    OTHER_TEXT: later("another text at the end"),
}
"""What a reply can hold and is not shown -> its name for the user."""
MOST_NESTED = 8


class Delta:
    """What a delta, or a whole message, says. Each text may begin with half a surrogate pair."""

    def __init__(self, fields: object) -> None:
        self.forms: set[str] = set()
        self._said: dict[str, list[str]] = {"text": [], "thinking": []}
        if not isinstance(fields, dict):
            return
        self._add(fields.get("content"), "text")
        for name in (*THINKING, *THOUGHT_PARTS):
            if not self.thinking:
                self._add(fields.get(name), "thinking")
        media = (form for name, value in fields.items() if value and (form := medium(str(name))))
        self.forms.update(media)

    @property
    def text(self) -> str:
        """What belongs to the answer."""
        return "".join(self._said["text"])

    @property
    def thinking(self) -> str:
        """What the server itself calls thinking."""
        return "".join(self._said["thinking"])

    def _add(self, value: object, where: str, depth: int = MOST_NESTED) -> None:
        if isinstance(value, str):
            self._said[where].append(value)
        elif isinstance(value, bool) or value in (None, [], {}):
            return
        elif isinstance(value, list) and depth:
            for item in value:
                self._add(item, where, depth - 1)
        elif isinstance(value, dict) and depth:
            kind = text_of(value, "type")
            name = next((name for name in HOLD_TEXT if name in value), "")
            if form := medium(kind):
                self.forms.add(form)
            elif name:  # Mistral has parts of thinking in the content
                is_thinking = kind.startswith(THINKING) or value.get("thought") is True
                self._add(value[name], "thinking" if is_thinking else where, depth - 1)
            elif not (kind.endswith(("text", "encrypted")) or kind.startswith("redacted")):
                self.forms.add(ODD)
        else:
            self.forms.add(ODD)


class GrowingTexts:
    """Texts that come as messages in place of deltas: each the whole reply so far, or a delta.

    Two growths, each behind all before, are whole ones; until then what may be said twice waits.
    A growing text in a `delta` stays what it is called: a model may well say "a", and "aa" next.
    """

    def __init__(self) -> None:
        self._came: list[str] = []
        """What came while it could be both."""
        self._grows: bool | None = None
        self._sent = SoFar()
        self.is_other = False
        """Whether one of them was another text than those before it, though these grew."""

    def push(self, text: str) -> str:
        """What a message adds to the reply, as far as it is certain."""
        if text and self._grows is None:
            self._came.append(text)
            if len(self._came) == 1:
                return self._added(text)
            if not text.startswith(self._came[-2]):
                self._grows = False
                return "".join(self._came[1:])
            self._grows = True if len(set(self._came)) > 2 else None
        if not text or not self._grows:
            return "" if self._grows is None else text
        new, is_other = self._sent.new_in(text)
        self.is_other = self.is_other or is_other
        return self._added(new)

    def flush(self) -> str:
        """What waited. At the end one growth is enough: by its name a message is a whole one."""
        if self._grows is not None or len(self._came) < 2:
            return ""
        self._grows = len(set(self._came)) > 1
        return self.push(self._came[-1]) if self._grows else "".join(self._came[1:])

    def _added(self, new: str) -> str:
        self._sent.add(new)
        return new


class SoFar:
    """What the deltas of a reply came to: for a whole message that comes after them."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, delta: str) -> None:
        """Take in the next delta."""
        if delta:
            self._pieces.append(delta)

    def new_in(self, whole: str) -> tuple[str, bool]:
        """What a whole text adds to the deltas, and whether it is another one than theirs.

        It may lack blanks at its ends, and thinking that the deltas had in marks.
        """
        letters = WholeLetters()
        sent = letters.push("".join(self._pieces)) + letters.flush()
        if whole.startswith(sent):
            return whole[len(sent) :], False
        return "", not sent.strip().endswith(whole.strip())


def medium(name: str) -> str:
    """The form that a field or a part of this name is in; "" if it may be text."""
    return next((form for form in MEDIA if name.startswith(form)), "")


def forms_in_words(forms: Collection[str]) -> str:
    """Forms of a reply for the user: "an image and audio"."""
    return tr(" and ").join(tr(name) for form, name in OTHER_FORMS.items() if form in forms)
