"""A model's own chat template in the forms that FastChat's clients can write.

Found from what the template writes around words. Whether a form is right is for others to prove.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from glmcli.engines.remote.fastchat.templates import NUMBERS, WorkerTemplate
from glmcli.types import Message, Role

WriteChat = Callable[[Sequence[Message]], str]
"""A conversation as a model's chat template writes it."""
Edge = tuple[str, str]
"""What clients write at one end of a prompt, and what the model's own template does."""


@dataclass(frozen=True, slots=True)
class WireForm:
    """A template that clients can write, and what of its prompts is to be read otherwise."""

    template: WorkerTemplate
    opening: Edge | None = None
    """The beginning of a prompt without a system prompt, up to the first question."""
    ending: Edge | None = None
    """The end, behind the last question."""


_ROLES: tuple[Role, ...] = ("system", "user", "assistant", "user")
_WORDS = ("qsystemq", "qfirstq", "qreplyq", "qsecondq")
_OPEN_TAG = re.compile(r"(?:<[^<>\s]*>?|\[[^\[\]\s]*\]?)$")
"""The tag, or the half of one, at the end of a text: the next role begins with it."""
_BRACES = re.compile("[{}]")
"""Clients fill in the system prompt as Python's `format` does."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What a model's own template writes around the texts of two conversations."""

    head: str
    """Before the system prompt."""
    to_first: str
    """From there to the first question, and so on."""
    to_reply: str
    to_second: str
    to_next: str
    """From a question to the reply that is asked for."""
    alone: str
    """Before a question without a system prompt."""


def wording_of(write: WriteChat) -> Wording | None:
    """The pieces, None if a template does not write each text once, and in its order."""
    asked = [Message(role, word) for role, word in zip(_ROLES, _WORDS, strict=True)]
    around = pieces_around(write(asked), _WORDS)
    alone = pieces_around(write(asked[1:2]), _WORDS[1:2])
    if around is None or alone is None or alone[1] != around[4]:
        return None
    head, to_first, to_reply, to_second, to_next = around
    return Wording(head, to_first, to_reply, to_second, to_next, alone[0])


def pieces_around(written: str, words: Sequence[str]) -> list[str] | None:
    """What a template writes around words; None unless each is there once, and in this order."""
    pieces = re.split("|".join(map(re.escape, words)), written)
    if len(pieces) != len(words) + 1:
        return None
    again = "".join(piece + word for piece, word in zip(pieces, [*words, ""], strict=True))
    return pieces if again == written else None


def wire_forms(write: WriteChat) -> Iterator[WireForm]:
    """The forms that fit a model's own template. Raises UsageError, ModelError, as `write` does."""
    own = wording_of(write)
    for fit in (in_separators, in_instructions) if own else ():
        if own and (form := fit(own)):
            yield form


def in_separators(own: Wording) -> WireForm | None:
    """FastChat's NO_COLON_TWO, if that fits: role, text, what separates it from the next.

    Its number is the same in all versions of FastChat, which those above 7 are not. GLM's templates
    end the line of a role before an earlier reply only, clients do so before the next one too.
    """
    sep = _OPEN_TAG.sub("", shared_start([own.to_reply, own.to_second]))
    sep2, user = sep, own.to_second[len(sep) :]
    if not (own.to_first.endswith(user) and own.alone.endswith(user)):
        user = shared_end([own.to_first, own.to_second, own.alone])
        sep2 = own.to_second[: len(own.to_second) - len(user)]
    end = own.to_first[: len(own.to_first) - len(user)]
    is_line = own.to_reply == f"{own.to_next}\n"
    if not user or not (own.to_reply == own.to_next or is_line) or _BRACES.search(own.head + end):
        return None
    start = own.alone[: len(own.alone) - len(user)]
    has_own = start.startswith(own.head) and start[len(own.head) :].endswith(end)
    template = WorkerTemplate(
        "glm",
        "NO_COLON_TWO",
        (user, own.to_reply[len(sep) :]),
        sep,
        sep2,
        system_template=f"{own.head}{{system_message}}{end}",
        system=start[len(own.head) : len(start) - len(end)] if has_own else "",
    )
    return WireForm(
        template,
        None if has_own else (own.head + end + user, own.alone),
        (own.to_reply, own.to_next) if is_line else None,
    )


def in_instructions(own: Wording) -> WireForm | None:
    """FastChat's LLAMA2, if that fits: `[INST] text [/INST] reply`."""
    first = "[INST] "
    if not own.to_second.endswith(first) or _BRACES.search(own.head + own.to_first):
        return None
    template = WorkerTemplate(
        "llama-2",
        "LLAMA2",
        ("[INST]", "[/INST]"),
        " ",
        own.to_second.removesuffix(first),
        system_template=f"{own.head}{{system_message}}{own.to_first}",
    )
    return WireForm(template, (first, own.alone) if own.alone != first else None)


def shared_start(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    columns = takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False))
    return "".join(column[0] for column in columns)


def shared_end(texts: Sequence[str]) -> str:
    """What all texts end with."""
    return shared_start([text[::-1] for text in texts])[::-1]


def as_conv(template: WorkerTemplate) -> dict[str, Any]:
    """A template as FastChat's workers send it; the numbers of styles are those of 0.2.36.

    Replies end by the worker's own ids: a client need not say where.
    """
    return {
        "name": template.name,
        "system_template": template.system_template,
        "system_message": template.system,
        "roles": list(template.roles),
        "messages": [],
        "offset": 0,
        "sep_style": NUMBERS.index(template.style) + 1,
        "sep": template.sep,
        "sep2": template.sep2,
        "stop_str": None,
        "stop_token_ids": None,
    }
