"""Prompts before they are read: their ids, those far beyond the window, those that are still typed,
and what of a question is not followed.

Knows nothing of nets, nor of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from threading import Event

from glmcli.engines.local.ids import shared_prefix
from glmcli.engines.local.prompt.apart import GivenUp, heeding
from glmcli.engines.local.prompt.decoder import PromptIds, PromptTemplate
from glmcli.engines.local.prompt.open import SANE_WINDOW
from glmcli.errors import ContextFull, ModelError, UsageError
from glmcli.language import later, tr
from glmcli.types import Chunk, GenerationParams, Message

FAR_LETTERS = 8
"""A text with more letters than this for each token of the window hardly fits."""
SLICE_LETTERS = 65_536
NO_SWITCH = later("this model has no switch for reasoning; --think changes nothing")
FOLDED = later("this model takes no system prompt: it was put before the first question")


class Telling:
    """What there is to say of a model, and of a question that is read otherwise than it was put."""

    def __init__(
        self, template: PromptTemplate, news: Sequence[str], opening: Sequence[str]
    ) -> None:
        """`news` is of the model; `opening` of how it was opened, for one who asks."""
        self._news, self._opening = [line for line in news if line], [*opening]
        self._template = template

    @property
    def news(self) -> list[Chunk]:
        """What is to be said before a reply."""
        return [Chunk(notice=line, once=True) for line in [*self.take_opening(), *self._news]]

    def take_opening(self) -> list[str]:
        """What there is to say of how the model was opened, if nobody has taken it before."""
        lines, self._opening = self._opening, []
        return lines

    def of(self, params: GenerationParams, prompt: PromptIds) -> list[Chunk]:
        """What is to be said of a question."""
        lacks_switch = params.think is not None and not self._has_think_switch
        lines = [*[tr(NO_SWITCH)] * lacks_switch, *[tr(FOLDED)] * prompt.folded]
        return [Chunk(notice=line, once=True) for line in lines]

    @cached_property
    def _has_think_switch(self) -> bool:
        """Whether the template writes another prompt with it."""
        probe = [Message("user", "?")]
        first, second = (self._template.encode(probe, think=think).ids for think in (True, False))
        return first != second


class TemplateEngine:
    """What an Engine does by its template alone."""

    def __init__(
        self,
        template: PromptTemplate,
        window: int | None,
        news: Sequence[str],
        opening: Sequence[str] = (),
    ) -> None:
        self.context_tokens = window
        self._template = template
        self._telling = Telling(template, news, opening)

    def take_opening(self) -> list[str]:
        """See `Telling`."""
        return self._telling.take_opening()

    @property
    def controls(self) -> Mapping[str, int]:
        """What stands for a control token in a prompt as text -> its id."""
        return self._template.controls

    def own_system(self) -> str:
        """The system prompt that the model's template adds where there is none."""
        tell = getattr(self._template, "own_system", None)  # ChatGLM's own formats add none
        return str(tell()) if tell else ""

    def prompt_ids(self, messages: Sequence[Message]) -> Sequence[int]:
        """The whole prompt. Raises UsageError, ModelError."""
        return self._template.encode(messages).ids

    def prompt_text(self, messages: Sequence[Message]) -> str:
        """The same as the chat template writes it; "" for ChatGLM2, which has none."""
        write = getattr(self._template, "written", None)
        return str(write(messages, {})) if write else ""

    def count(
        self, messages: Sequence[Message], cancel: Event | None = None, think: bool | None = None
    ) -> int | None:
        """The size of the prompt; None if the template does not take it.

        Far beyond the window it is the estimate with which `stream` would refuse the prompt.
        """
        try:
            return len(self._encoded(messages, think, cancel).ids)
        except ContextFull as exc:
            return exc.needed
        except (UsageError, ModelError, GivenUp):
            return None

    def _encoded(
        self, messages: Sequence[Message], think: bool | None, cancel: Event | None
    ) -> PromptIds:
        """The whole prompt. Raises ContextFull, UsageError, ModelError, GivenUp."""
        with heeding(cancel):
            check_length(messages, self._template, self.context_tokens)
            return self._template.encode(messages, think=think)

    def _begins(
        self, messages: Sequence[Message], params: GenerationParams, cancel: Event
    ) -> Sequence[int]:
        """What prompts that go on from `messages` begin with; nothing if that cannot be told."""
        try:
            with heeding(cancel):
                check_length(messages, self._template, self.context_tokens)
                one, other = (
                    self._template.encode(probe, think=params.think).ids
                    for probe in probes(messages)
                )
        except (UsageError, ModelError, ContextFull, GivenUp):
            return ()
        return one[: shared_prefix(one, other)]


def limit_of(window: int | None) -> int:
    """The tokens of a prompt and its reply at most."""
    return window or SANE_WINDOW


def room_after(prompt: PromptIds, window: int | None) -> int:
    """Tokens left for the reply. Raises ContextFull if there are none."""
    limit = limit_of(window)
    if len(prompt.ids) >= limit:
        raise ContextFull(len(prompt.ids), limit)
    return limit - len(prompt.ids)


def check_length(messages: Sequence[Message], template: PromptTemplate, window: int | None) -> None:
    """Raise ContextFull for texts far beyond the window after a look at their beginning.

    To encode 50 MB takes minutes and gigabytes; the number of tokens is an estimate then.
    """
    limit = limit_of(window)
    letters = sum(len(item.text) for item in messages)
    if letters <= FAR_LETTERS * limit:
        return
    around = len(template.encode([Message("user", "")]).ids)
    tokens = seen = 0
    for item in messages:
        for start in range(0, len(item.text), SLICE_LETTERS):
            part = item.text[start : start + SLICE_LETTERS]
            tokens += len(template.encode([Message("user", part)]).ids) - around
            seen += len(part)
            if tokens > 2 * limit:
                raise ContextFull(round(tokens * letters / seen), limit)


def probes(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Two prompts that go on from `messages`, or from the draft at their end, in different ways."""
    is_draft = bool(messages) and messages[-1].role == "user"
    draft = messages[-1] if is_draft else Message("user", "")
    before = messages[:-1] if is_draft else messages
    for letter in ("a", "1"):
        yield [*before, replace(draft, text=draft.text + letter)]
