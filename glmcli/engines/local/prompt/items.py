"""Messages as a chat template is given them, and whether it wrote what they say.

Knows nothing of how ids are made. A template that takes no system role is given that text with the
first question, one that takes content in parts is given parts. A text that is a prompt by itself
goes past the template.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from glmcli.conversation.reasoning import PAIRS
from glmcli.engines.local.prompt.decoder import PromptIds
from glmcli.engines.local.prompt.rendering import TemplateFails
from glmcli.engines.reply import Parted
from glmcli.errors import GlmError, UsageError
from glmcli.language import later, tr
from glmcli.types import ROLES, Message, call_of, fold_system, said_text

REASONING_NAMES = ("reasoning_content", "reasoning", "thinking")
"""The fields in which templates look for the reasoning of a reply."""
_PART = re.compile(r"""["']type["']: ["']text["']""")
"""Written by a template that does not know parts and writes them as they are."""
_SWITCH = re.compile(r"/(?:no_?)?think\b")
"""Templates take these out of messages: they are meant for them."""
LOST = {
    "system": later("the model's chat template leaves out the system prompt"),
    "user": later("the model's chat template leaves out a message of yours"),
    "assistant": later("the model's chat template leaves out a reply"),
    "tool": later("the model's chat template leaves out a tool's result"),
}


class Way(NamedTuple):
    """How messages are given to a template."""

    folded: bool
    """The system prompt is the beginning of the first question."""
    parts: frozenset[str]
    """The roles whose content is a list of parts."""


IN_PARTS = ((), ROLES, ("user",), ("system", "user", "tool"), ("assistant",), ("system",))
WAYS = tuple(Way(folded, frozenset(roles)) for folded in (False, True) for roles in IN_PARTS)
"""All ways, the usual one first."""


def items_of(messages: Sequence[Message], way: Way, source: str) -> list[dict[str, Any]]:
    """The messages as the template `source` expects them.

    What becomes of the reasoning of earlier replies the template decides.
    """
    given = (fold_system(messages) if way.folded else None) or messages
    items: list[dict[str, Any]] = []
    calls = 0
    for message in given:
        item = as_item(message, way, source)
        calls += "tool_calls" in item
        number = {"id": f"call{calls:05}"}  # nine letters, as Mistral's templates want them
        if "tool_calls" in item:
            item["tool_calls"] = [number | call for call in item["tool_calls"]]
        elif message.role == "tool" and calls:
            item["tool_call_id"] = number["id"]
        items.append(item)
    return items


def as_item(message: Message, way: Way, source: str) -> dict[str, Any]:
    """A message as templates expect it.

    A tool that it calls stands where the template looks for one, or in its text.
    """
    call = call_of(message)
    calls = [{"type": "function", "function": call}] if call and "tool_calls" in source else []
    text = message.text if "metadata" in source else said_text(message)
    text = "" if calls else text
    content = [{"type": "text", "text": text}] if message.role in way.parts else text
    item: dict[str, Any] = {"role": message.role, "content": content}
    if calls:
        item["tool_calls"] = calls
    elif message.name:
        item |= {"name": message.name, "metadata": message.name}
    if message.thinking:
        item |= {name: message.thinking for name in REASONING_NAMES if name in source}
    return item


def check_texts(
    messages: Sequence[Message],
    rendered: str,
    way: Way,
    write: Callable[[Sequence[Message]], str],
) -> None:
    """Raise TemplateFails if the template has left out the text of a message, or a part of it.

    `write` renders other messages in the same way: a text that is not found as it is, or nearly,
    may have been escaped, wrapped or otherwise changed, and then others make another rendering.
    """
    bare = cache(lambda: without_blanks(rendered))  # most need it never, some for each message
    missing = [
        at
        for at, message in enumerate(messages)
        if message.text.strip() not in rendered and not is_rewritten(message, bare())
    ]
    for at in without_marked(messages, missing, write) if missing else ():
        if not is_seen(messages, at, rendered, write):
            raise TemplateFails(
                tr(LOST[messages[at].role]), tr("write it in another way, or choose another model")
            )
    if way.parts and len(_PART.findall(rendered)) > sum(
        len(_PART.findall(item.text)) for item in messages
    ):
        raise TemplateFails(tr(LOST["user"]), tr("choose another model"))


def without_marked(
    messages: Sequence[Message],
    numbers: Sequence[int],
    write: Callable[[Sequence[Message]], str],
) -> Sequence[int]:
    """Which of some messages lose one of three words that are put into each; one rendering."""
    marks: dict[int, list[str]] = {}
    marked = list(messages)
    for at in numbers:
        marks[at] = [f"x{secrets.token_hex(4)}" for _ in range(3)]
        said = said_part(messages[at])
        before = messages[at].text[: len(messages[at].text) - len(said)]
        first, middle, last = marks[at]
        half = said.find(" ", len(said) // 2) + 1
        text = f"{before}{first} {said[:half]}{middle} {said[half:]} {last}"
        marked[at] = replace(messages[at], text=text)
    try:
        written = write(marked).casefold()
    except (UsageError, TemplateFails):
        return numbers
    return [at for at in numbers if not all(mark in written for mark in marks[at])]


def is_seen(
    messages: Sequence[Message],
    at: int,
    rendered: str,
    write: Callable[[Sequence[Message]], str],
) -> bool:
    """Whether another letter at the start, in the middle or at the end of a text is seen."""
    text = messages[at].text
    start = len(text) - len(said_part(messages[at]))
    places = [place for place in range(start, len(text)) if not text[place].isspace()]
    for place in {places[0], places[len(places) // 2], places[-1]} if places else ():
        letter = "z" if text[place].casefold() == "q" else "q"
        changed = replace(messages[at], text=f"{text[:place]}{letter}{text[place + 1 :]}")
        try:
            if write([*messages[:at], changed, *messages[at + 1 :]]) == rendered:
                return False
        except (UsageError, TemplateFails):
            continue  # it reads what it refuses
    return True


def said_part(message: Message) -> str:
    """The text without reasoning that it begins with: a template may leave that out."""
    said = message.text
    if message.role == "assistant":
        for _, end in PAIRS:
            said = said.rpartition(end)[2]
    return said


def is_rewritten(message: Message, bare: str) -> bool:
    """Whether a text is in a `bare` rendering, as it is, as JSON, or without its reasoning."""
    said = said_part(message)
    forms = (said, json.dumps(said)[1:-1], json.dumps(said, ensure_ascii=False)[1:-1])
    return any(without_blanks(form) in bare for form in forms)


def without_blanks(text: str) -> str:
    """What of a text a template keeps, whatever it does with blanks, capitals and switches."""
    return "".join(_SWITCH.sub("", text).split()).casefold()


_SYSTEM, _USER = "qsystemq", "quserq"
"""Texts that stand for those of a conversation."""


def own_system(render: Callable[[Sequence[Message]], str]) -> str:
    """The system prompt that a template adds where a conversation has none; "" if it adds none.

    Found by comparing two renderings.
    """
    user = Message("user", _USER)
    try:
        without, given = render([user]), render([Message("system", _SYSTEM), user])
    except GlmError:
        return ""
    before, _, rest = given.partition(_SYSTEM)
    between, found, _ = rest.partition(_USER)
    head = without.partition(_USER)[0]
    fits = len(head) >= len(before) + len(between)
    if not (found and fits and head.startswith(before) and head.endswith(between)):
        return ""
    return head[len(before) : len(head) - len(between)].strip()


def check_characters(messages: Sequence[Message]) -> None:
    """Raise UsageError for text that is not Unicode."""
    for message in messages:
        try:
            message.text.encode()
        except UnicodeEncodeError as exc:
            raise UsageError(
                tr(
                    "character {value:,} of a message is half a surrogate pair", value=exc.start + 1
                ),
                tr("send text that is valid Unicode"),
            ) from exc


def join_texts(messages: Sequence[Message]) -> str:
    """The texts for a base model: replies follow at once, the rest after a blank line."""
    joined = ""
    for message in messages:
        separator = "\n\n" if joined and message.role != "assistant" else ""
        joined += separator + said_text(message)
    return joined


def prompt_alone(messages: Sequence[Message]) -> Message | None:
    """A lone message of the role `raw` or `rendered`, which is the whole prompt; None for others.

    The names of control tokens in it are these tokens, as in a text that another program rendered.
    Raises UsageError for one among other messages.
    """
    if all(item.role in ROLES for item in messages):
        return None
    if len(messages) > 1:
        raise UsageError(
            tr("a plain text is a prompt by itself"), tr("leave out the messages beside it")
        )
    return messages[0]


def raw_prompt(message: Message, start: Sequence[int], ids: Sequence[int]) -> PromptIds:
    """The prompt of a text's ids; `start` is what every text begins with, once."""
    begun = list(ids[: len(start)]) == list(start)
    return PromptIds([*ids] if begun else [*start, *ids], goes_on=message.role == "raw", raw=True)


class Unparted:
    """What follows a raw prompt: text, whatever it looks like."""

    is_thinking = False

    def awaits(self, token: int) -> bool:
        """No id ends a part."""
        return False

    def switch(self, token: int, text: str, name: str = "") -> Parted:
        """The text, and the id by its name."""
        return Parted(text=text + name)

    def push(self, text: str) -> Parted:
        """All of it."""
        return Parted(text=text)

    def flush(self) -> Parted:
        """Nothing was held back."""
        return Parted()
