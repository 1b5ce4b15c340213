"""An engine without a model: it replies with the last message, word by word, exactly as typed.

For tests, demonstrations and documents. A token is a word with the blanks that follow it.
`echo:delay=0.05` waits that many seconds before each word; `load=2` takes so long to open.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from threading import Event

from glmcli.config import Settings
from glmcli.engines.reply import StopStrings
from glmcli.errors import ContextFull, ModelError
from glmcli.language import tr
from glmcli.types import Chunk, FinishReason, GenerationParams, Message, Progress, Report, Usage

OPTIONS = ("delay", "load", "window")
AT_ONCE = 16


SAID = ("user", "raw", "rendered")
"""The roles of what is repeated."""


class EchoEngine:
    """See the module. Raises ContextFull when the words of the prompt exceed the window.

    It remembers nothing, so that any number may ask at once.
    """

    at_once = AT_ONCE
    slots: Sequence[int] = ()
    slot_bytes = 0
    slot_limit: int | None = None

    def __init__(self, *, delay_s: float = 0.0, context_tokens: int = 8192) -> None:
        self.name = "echo"
        self.device = self.details = ""
        self.context_tokens: int | None = context_tokens
        self._delay_s = delay_s

    def stream(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """Yield the last user message, a word a chunk."""
        needed = self.count(messages)
        limit = self.context_tokens or 0
        if needed >= limit:
            raise ContextFull(needed, limit)
        yield Chunk(progress=Progress("reading", needed, needed))
        text = next((item.text for item in reversed(messages) if item.role in SAID), "")
        if messages and messages[-1].role == "assistant":
            text = text.removeprefix(messages[-1].text)
        room = min(limit - needed, limit if params.max_tokens is None else params.max_tokens)
        finish: FinishReason = "stop"
        sent, stops = 0, StopStrings(params.stop)
        for word in split_words(text):
            if sent >= room:
                finish = "length"
                break
            if cancel.is_set() or (self._delay_s and cancel.wait(self._delay_s)):
                finish = "cancelled"
                break
            sent += 1
            yield Chunk(text=stops.push(word), tokens=1)
            if stops.hit:
                break
        if held := stops.flush():
            yield Chunk(text=held)
        usage = Usage(prompt_tokens=needed, cached_tokens=0, completion_tokens=sent)
        yield Chunk(finish_reason=finish, usage=usage)

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int:
        """Words of all messages."""
        del cancel  # it takes no time
        return sum(len(split_words(item.text)) for item in messages)

    def share(self, limit_bytes: int | None) -> None:
        """Nothing is kept in any case."""

    def stream_privately(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Generator[Chunk, None, None]:
        """The same."""
        return self.stream(messages, params, cancel)

    def close(self) -> None:
        """Nothing to close."""


def split_words(text: str) -> list[str]:
    """Words with the blanks around them; joined they are `text` again."""
    return re.findall(r"\s*\S+\s*(?=\S|$)|\s+", text)


def open_engine(name: str, settings: Settings, report: Report) -> EchoEngine:
    """Open `echo:` or `echo:delay=0.05,load=2,window=100`. Raises ModelError for other options."""
    options: dict[str, float] = {}
    for item in filter(None, name.split(",")):
        key, _, value = item.partition("=")
        try:
            options[OPTIONS[OPTIONS.index(key)]] = float(value)
        except ValueError:
            raise ModelError(
                tr("the echo engine has no option {option!r}", option=item),
                tr("try echo:delay=0.05,load=2,window=100"),
            ) from None
    if load_s := options.get("load", 0.0):
        report(Progress("loading", note=tr("pretending to load")))
        Event().wait(load_s)
    window = options.get("window", settings.window or 8192)
    return EchoEngine(delay_s=options.get("delay", 0.0), context_tokens=int(window))
