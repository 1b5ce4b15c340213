"""The conversation template that a worker says it has, proven equal to the model's own.

A worker's clients write the prompt. What they write for some conversations is read here, and must
be, id by id, what the model's own chat template makes of them. Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from glmcli.engines import Engine, TellsPrompt
from glmcli.engines.remote.fastchat.templates import NAMED, NUMBERS, read_template
from glmcli.errors import ModelError, UsageError
from glmcli.language import later, tr
from glmcli.serve.worker.forms import WireForm, as_conv, wire_forms
from glmcli.types import Message, Report

_SYSTEM = Message("system", "You are brief.\nAnswer in one sentence.")
_USER, _REPLY = Message("user", "Hello there"), Message("assistant", "Hi! 2 + 2 = 4.")
_CHINESE = (Message("user", "你好，世界"), Message("assistant", "你好！很高兴。🙂"))
_BLANKS = (Message("user", "  a\n\n    b\n"), Message("assistant", " def f():\n\treturn 1\n"))
TRIED: tuple[tuple[str, tuple[Message, ...]], ...] = (
    (later("one question"), (_USER,)),
    (later("a system prompt"), (_SYSTEM, _USER)),
    (later("several turns"), (_USER, _REPLY, _USER, _REPLY, _USER)),
    (later("several turns after a system prompt"), (_SYSTEM, _USER, _REPLY, _USER)),
    (later("Chinese text"), (Message("system", "你是一个助手。"), *_CHINESE, _CHINESE[0])),
    (later("blanks around a question"), (_BLANKS[0],)),
    (later("blanks around a system prompt"), (Message("system", " \n x \n"), _USER)),
    (later("blanks around a reply"), (_USER, _BLANKS[1], _BLANKS[0])),
)
"""What a conversation has -> the conversation, for which a template must be right."""
MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Advertised:
    """A template as a worker sends it, and how what its clients write is read."""

    conv: Mapping[str, Any]
    """The fields of FastChat's `Conversation`."""
    form: WireForm
    """What it is made of."""
    controls: Mapping[int, str] = field(default_factory=dict)
    """Id of a control token -> what stands for it in a prompt."""

    def as_read(self, prompt: str) -> Message:
        """The prompt that a client meant: most templates of FastChat write empty system prompts.

        One that ends where a reply begins is `rendered`, any other text is `raw`.
        """
        last = read_template(self.conv).render([_USER]).rpartition(_USER.text)[2]
        if ending := self.form.ending:
            last = last.removesuffix(ending[0]) + ending[1]
            if prompt.endswith(ending[0]):
                prompt = prompt.removesuffix(ending[0]) + ending[1]
        if opening := self.form.opening:
            written, own = opening
            if prompt.startswith(written) and not prompt.startswith(own):
                prompt = own + prompt[len(written) :]
        return Message("rendered" if prompt.endswith(last) else "raw", prompt)

    def without_controls(self, prompt: str) -> str:
        """A prompt as FastChat repeats it: decoded, without control tokens."""
        for name in sorted(self.controls.values(), key=len, reverse=True):
            prompt = prompt.replace(name, "")
        return prompt


class Proven:
    """Opens an engine, and finds the template that its worker is to advertise."""

    def __init__(self, open_it: Callable[[Report], Engine]) -> None:
        self._open_it = open_it
        self.advertised: Advertised | None = None
        """None until the engine is open."""

    def __call__(self, report: Report) -> Engine:
        """Open the engine. Raises ModelError for one whose prompts no client could write."""
        engine = self._open_it(report)
        try:
            self.advertised = advertised_for(engine)
        except BaseException:
            engine.close()
            raise
        return engine


def advertised_for(engine: Engine) -> Advertised:
    """The first template of FastChat's that is equal to the model's own. Raises ModelError."""
    hint = tr("without --controller it is served all the same, by OpenAI's interface")
    if not isinstance(engine, TellsPrompt):
        raise ModelError(tr("{model} has no chat template to compare", model=engine.name), hint)
    least = [what for what, _ in TRIED]
    for candidate in advertisable(engine):
        unequal = unequal_probes(engine, candidate)
        if not unequal:
            return candidate
        least = min(least, unequal, key=len)
    line = tr(
        "no template of FastChat's asks {model} as its own chat template does: not with {what}",
        model=engine.name,
        what=tr(", ").join(map(tr, least[:MOST_TOLD])),
    )
    raise ModelError(line, hint)


def unequal_probes(engine: TellsPrompt, candidate: Advertised) -> list[str]:
    """What conversations have that a template writes otherwise than the model's own."""
    template = read_template(candidate.conv)
    unequal = []
    for what, messages in TRIED:
        try:
            own = engine.prompt_ids(messages)
            sent = candidate.as_read(template.render(messages))
            is_equal = list(engine.prompt_ids([sent])) == list(own)
        except (UsageError, ModelError):  # the model's template refuses it, and nobody can ask it
            is_equal = False
        if not is_equal:
            unequal.append(what)
    return unequal


def advertisable(engine: TellsPrompt) -> Iterator[Advertised]:
    """Templates that may be equal: made from the model's own, then those that FastChat knows."""
    controls = {token: name for name, token in engine.controls.items()}
    with suppress(UsageError, ModelError):  # it may take no system prompt, or no second question
        for form in wire_forms(engine.prompt_text):
            yield Advertised(as_conv(form.template), form, controls)
    for template in NAMED.values():
        if template.style in NUMBERS:
            yield Advertised(as_conv(template), WireForm(template), controls)
