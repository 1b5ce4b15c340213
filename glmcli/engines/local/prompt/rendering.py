"""A chat template's text for a conversation, as transformers makes it, made apart.

The template is a program that came with the model: it is only ever run in a process of its own,
whichever tokenizer it belongs to. Knows nothing of ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from textwrap import shorten
from typing import Any

from glmcli.engines.local.prompt import apart
from glmcli.errors import ConfigError, ModelError, UsageError, first_line
from glmcli.language import later, tr
from glmcli.models.libraries import errors_of

END_MARK = "x3f9c0d1e7a52b846x"
"""Stands where a message that is to be continued ends; no template writes it."""
SOURCE_LETTERS = 1_000_000
"""The longest template there is has about 20,000."""
GROWTH = 10
SPARE_LETTERS = 1_000_000
"""A prompt has at most `GROWTH` times the letters of its messages, and so many more.

Only letters of the conversation count: what comes with the model must not raise its own limits.
"""
OPENING_S = 4.0
"""Of the processor, for all renderings while a model is opened; usual templates need 0.05."""
ONLY = "default"
"""What transformers calls the chat template that is for everything."""
_until: ContextVar[float] = ContextVar("until", default=math.inf)
"""What the process for templates may have taken."""
BROKEN = ("TemplateSyntaxError", "SecurityError")
"""No conversation makes such a template work."""
REFUSES = "TemplateError"
"""What a template raises that says itself what it does not take."""
CHOOSE = later("choose another model, or repair its chat template")


class TemplateFails(ModelError):
    """A template ends with an error for one conversation; others may work."""


def render(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, goes_on: bool = False, **options: Any
) -> str:
    """The prompt as text; where it `goes_on`, up to the end of the last message.

    Raises UsageError if the template refuses the conversation, TemplateFails if it fails with it,
    ModelError if it never works or has to be stopped.
    """
    if has_own_way(tokenizer):
        return render_there(tokenizer, messages, goes_on=goes_on, **options)
    source = chosen_source(tokenizer, options.get("tools"))
    shown = [dict(message) for message in messages]
    if goes_on:
        shown[-1]["content"] = with_mark(shown[-1]["content"])
    values = {
        "tools": None,
        "documents": None,
        **special_tokens(tokenizer),
        "add_generation_prompt": not goes_on,
        **options,
        "messages": shown,
    }
    rendered = render_apart(source, values, letters=letters_of([shown, options]))
    return up_to_mark(rendered) if goes_on else rendered


@contextmanager
def sharing(seconds: float) -> Iterator[None]:
    """Let all renderings within this take so many seconds of the processor together."""
    token = _until.set(min(_until.get(), apart.templates().taken_s + seconds))
    try:
        yield
    finally:
        _until.reset(token)


def render_apart(source: str, values: dict[str, Any], *, letters: int = 0) -> str:
    """A template's text for a conversation of so many letters. Raises UsageError, ModelError."""
    process = apart.templates()
    left_s = _until.get() - process.taken_s
    if left_s <= 0:
        raise process.stopped("time")
    try:
        text: str = process.ask(
            "render",
            source=source,
            values=values,
            letters=GROWTH * letters + SPARE_LETTERS,
            cpu_s=min(left_s, apart.seconds_for(letters)),
        )
    except apart.ProgramFailed as exc:
        if any(kind in exc.kinds for kind in BROKEN):
            message = tr("the model's chat template is broken: {why}", why=first_line(exc))
            raise ModelError(message, tr(CHOOSE)) from exc
        if exc.kinds[0] == REFUSES:
            raise refusal(first_line(exc)) from exc
        raise TemplateFails(
            tr(
                "the model's chat template fails: {kind}: {why}",
                kind=exc.kinds[0],
                why=first_line(exc),
            ),
            tr("choose another model"),
            in_chat=tr("start again with /reset, or choose another model"),
        ) from exc
    return text


def refusal(why: str) -> UsageError:
    """The error for a conversation that the template does not take."""
    return UsageError(
        tr("the model's chat template refuses this conversation: {why}", why=why),
        tr("choose another model"),
        in_chat=tr("start again with /reset, or choose another model"),
    )


def has_own_way(tokenizer: Any) -> bool:
    """Whether it renders with code of its own, which the user has trusted, and no template."""
    theirs = getattr(type(tokenizer), "apply_chat_template", None)
    return theirs is not None and theirs.__module__ != "transformers.tokenization_utils_base"


def render_there(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, goes_on: bool, **options: Any
) -> str:
    """The text that a tokenizer makes with its own code. Raises UsageError."""
    try:
        text: str = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            continue_final_message=goes_on,
            **{"add_generation_prompt": not goes_on, **options},
        )
    except Exception as exc:  # code from elsewhere may raise anything
        raise refusal(first_line(exc)) from exc
    return text


def choose_template(tokenizer: Any, name: str) -> None:
    """Leave a tokenizer that has several chat templates the one of this name.

    "" leaves it all, if one of them is for everything. Raises ConfigError for a name that it does
    not have, ModelError if it needs one.
    """
    several = tokenizer.chat_template
    names = sorted(several) if isinstance(several, dict) else [ONLY] if several else []
    if name:
        check_template(name, names)
    if not isinstance(several, dict):
        return
    if name:
        tokenizer.chat_template = several[name]
    elif ONLY not in several:
        message = tr(
            "no chat template of the model is the default; it has {names}", names=shortly(names)
        )
        raise ModelError(message, tr("choose one with --template NAME"))


def check_template(name: str, names: Sequence[str]) -> None:
    """Raise ConfigError for the name of a chat template that is not one of a model's `names`."""
    if name in names:
        return
    if not names:
        line = tr("the model has no chat template, so none that is called {name}", name=name)
    elif list(names) == [ONLY]:
        line = tr("the model has no chat template {name}: it has one, the default", name=name)
    else:
        line = tr(
            "the model has no chat template {name}: it has {names}", name=name, names=shortly(names)
        )
    hint = (
        tr("choose one with --template NAME")
        if names and list(names) != [ONLY]
        else tr("leave out --template, or GLM_TEMPLATE where it is set")
    )
    raise ConfigError(line, hint)


def shortly(names: Sequence[str]) -> str:
    """Names in one line of at most 200 letters."""
    return shorten(", ".join(names), 200)


def chosen_source(tokenizer: Any, tools: Any = None) -> str:
    """The chat template's source; "" if there is none. Raises ModelError.

    A model may have several: one for tools, and one that is for everything else.
    """
    if not tokenizer.chat_template:
        return ""
    with errors_of(tr("choosing the chat template"), tr("choose another model")):
        source = tokenizer.get_chat_template(None, tools)
    if not isinstance(source, str):
        raise ModelError(
            tr("the chat template is {kind}, not text", kind=type(source).__name__),
            tr("choose another model"),
        )
    if len(source) > SOURCE_LETTERS:
        raise ModelError(
            tr(
                "the chat template has {count:,} letters; {limit:,} is the limit",
                count=len(source),
                limit=SOURCE_LETTERS,
            ),
            tr("choose another model"),
        )
    return source


def special_tokens(tokenizer: Any) -> dict[str, Any]:
    """The names that templates know special tokens by, "bos_token" and others, and their texts."""
    return {
        name: [str(item) for item in token] if isinstance(token, list) else str(token)
        for name, token in tokenizer.special_tokens_map.items()
    }


def with_mark(content: Any) -> Any:
    """A content, text or one part of it, with END_MARK at its end."""
    if isinstance(content, str):
        return f"{content}{END_MARK} "
    return [{**part, "text": with_mark(part["text"])} for part in content]


def up_to_mark(rendered: str) -> str:
    """What comes before END_MARK. Raises UsageError if the template leaves the message out."""
    text, mark, rest = rendered.rpartition(END_MARK)
    if not mark:
        raise refusal(tr("it leaves out the message that is to be continued"))
    return text if rest.startswith(" ") else text.rstrip()  # the template trims messages


def letters_of(value: Any) -> int:
    """How much text is in a value of JSON."""
    if isinstance(value, Mapping):
        return sum(letters_of(key) + letters_of(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(letters_of(item) for item in value)
    return len(value) if isinstance(value, str) else 8
