"""The words of the program: plain values that every other module speaks in.

Knows nothing of models, terminals or disks. All but `Conversation` and `Totals` are frozen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool", "raw", "rendered"]
"""Who speaks. A message that is `raw` is no part of a conversation: its text is a whole prompt, and
the model goes on with it. So is one that is `rendered`, and what follows is a reply of its own.
"""
FinishReason = Literal["stop", "length", "time", "cancelled", "interrupted"]
"""Why a reply ended: by itself, at a limit of tokens or of time, by the user, by a fault or a kill.

Programs are told "length" for "time", which other programs do not know: `reason_told`.
"""

MOST = 2**53
"""The largest number that JSON can carry everywhere; no count is larger."""
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
"""Those of a conversation."""


def reason_told(reason: FinishReason | None) -> str | None:
    """Why a reply ended, as other programs know it."""
    return "length" if reason == "time" else reason


def as_count(value: object) -> int | None:
    """A number that others state if it can be a count, else None: unknown."""
    return value if type(value) is int and 0 <= value <= MOST else None


def as_seconds(value: object) -> float | None:
    """A number that others state if it can be a time that something took, else None: unknown."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MOST else None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one reply cost. A count is None if the engine cannot say."""

    prompt_tokens: int | None = None
    """The whole prompt, template included."""
    cached_tokens: int | None = None
    """The part of `prompt_tokens` that was not recomputed."""
    completion_tokens: int | None = None
    """Sampled tokens of the reply; the end-of-turn token is not counted."""
    first_token_s: float | None = None
    """Seconds from the request to the first text or thinking."""
    total_s: float = 0.0
    """Seconds from the request to the end."""

    def believed(self) -> Usage:
        """The same as others state it, without what cannot be: that is unknown."""
        return Usage(
            as_count(self.prompt_tokens),
            as_count(self.cached_tokens),
            as_count(self.completion_tokens),
            as_seconds(self.first_token_s),
            as_seconds(self.total_s) or 0.0,
        )

    @property
    def total_tokens(self) -> int | None:
        """Prompt and reply together, if both are known, and together still a count."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        total = self.prompt_tokens + self.completion_tokens
        return total if total <= MOST else None

    @property
    def tokens_per_s(self) -> float | None:
        """Decode speed: tokens after the first, over the time after the first."""
        if self.completion_tokens is None or self.first_token_s is None:
            return None
        seconds = self.total_s - self.first_token_s
        if self.completion_tokens < 2 or seconds <= 0:
            return None
        return (self.completion_tokens - 1) / seconds


@dataclass(slots=True)
class Totals:
    """What several replies cost together."""

    turns: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    decode_tokens: int = 0
    """Those after the first of each reply, in `decode_s`: waiting and loading left out."""
    decode_s: float = 0.0

    def add(self, usage: Usage, *, turns: int = 1) -> None:
        """Count one reply."""
        self.turns += turns
        self.prompt_tokens += usage.prompt_tokens or 0
        self.cached_tokens += usage.cached_tokens or 0
        self.completion_tokens += usage.completion_tokens or 0
        self.seconds += usage.total_s
        if usage.tokens_per_s is not None:
            self.decode_tokens += (usage.completion_tokens or 1) - 1
            self.decode_s += usage.total_s - (usage.first_token_s or 0.0)


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation."""

    role: Role
    text: str
    thinking: str = ""
    """The model's reasoning: shown apart and stored; a chat template decides what is sent again."""
    finish_reason: FinishReason | None = None
    """Assistant only."""
    usage: Usage | None = None
    """Assistant only."""
    name: str = ""
    """The tool an assistant called or a tool message comes from (ChatGLM3's `metadata`)."""
    tools: str = ""
    """System only: the tools on offer, as a JSON list."""
    created: float | None = field(default=None, compare=False)
    """When it was stored, in seconds since 1970; None if it is not yet, or that is unknown."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What an engine is doing before there is text.

    "reading" counts the tokens of the whole prompt, cached ones as done; an engine that knows the
    prompt's size says so once before the first text. "parts" counts characters of a text that is
    answered in parts; its note says where that is. "waiting" is for a server where its unit is "s",
    else for something here, which its note names. "stuck" counts the seconds of a single step.
    """

    stage: Literal[
        "fetching", "converting", "loading", "reading", "waiting", "summarising", "parts", "stuck"
    ]
    done: int = 0
    total: int | None = None
    unit: Literal["bytes", "tokens", "s"] = "tokens"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next piece of a reply: deltas, never cumulative. An empty one is a tick of the clock."""

    text: str = ""
    thinking: str = ""
    tokens: int = 0
    """Tokens sampled for this chunk; 0 if unknown."""
    finish_reason: FinishReason | None = None
    """Set on the last chunk, and only there."""
    usage: Usage | None = None
    """Set with `finish_reason`; the engine fills the counts, the session the clock."""
    progress: Progress | None = None
    """What happens meanwhile; such a chunk carries no text."""
    draft: str = ""
    """What the reply is being made of: not shown, and kept if the reply never comes to its end."""
    notice: str = ""
    """What the user is to be told below the reply; nothing else comes with it."""
    once: bool = False
    """The notice comes with every reply that it holds for; who hears several is told once."""
    was_thinking: bool = False
    """All text before this chunk was thinking, which `thinking` goes on with: it ended with a
    closing mark, and had no opening one."""


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """How to sample. None means the model's own default."""

    max_tokens: int | None = None
    """New tokens at most; None: the rest of the window."""
    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    stop: tuple[str, ...] = ()
    """Strings that end the reply; they are not shown."""
    seed: int | None = None
    think: bool | None = None
    """Whether a reasoning model reasons, where its template lets it be chosen."""

    def merged(self, changes: dict[str, Any]) -> GenerationParams:
        """A copy with `changes` applied; a KeyError names an unknown field."""
        known = {item.name for item in fields(self)}
        for name in changes:
            if name not in known:
                raise KeyError(name)
        return replace(self, **changes)


RECAP = "Summarise our conversation so far."
"""The question to which a summary is the reply, so that roles alternate in a prompt."""


@dataclass(frozen=True, slots=True)
class Omission:
    """The beginning of a conversation that is not sent, because the window is full."""

    messages: int
    """How many of the first messages; a question comes after them."""
    summary: str = ""
    """What is sent in their place, in the model's own words; "" if nothing is."""


ConversationKind = Literal["", "chat", "ask"]
"""How a conversation is held: asks that a chat goes on with are chats. "" counts as both: it was
imported, or stored before there were kinds."""


@dataclass(slots=True)
class Conversation:
    """One chat: a system prompt and the messages after it, oldest first.

    Each question stays in `messages` whatever became of its answer. What an engine is given is
    `prompt()`, which leaves out questions whose answer was broken off before any text, so that the
    history sent is always well formed.
    """

    id: str = ""
    system: str | None = None
    """None: there is none, and a template may write its own; "" is sent as an empty one."""
    messages: list[Message] = field(default_factory=list)
    title: str = ""
    model: str = ""
    params: GenerationParams = GenerationParams()
    """The settings of its last turn."""
    ids: list[int] = field(default_factory=list, repr=False, compare=False)
    """Where the store keeps `messages`, in the same order; fewer if some are not stored yet."""
    updated: float | None = field(default=None, compare=False)
    """When it was last written to, in seconds since 1970; None if that is unknown."""
    omitted: Omission | None = None
    """What of `messages` is not sent; they stay whole."""
    kind: ConversationKind = field(default="", compare=False)
    others: list[tuple[int, Message]] = field(default_factory=list, repr=False, compare=False)
    """Messages on other branches, each with what it follows: n is the n-th of `messages`, -n the
    n-th of these, which comes before it, 0 none. Filled where all of a conversation is written or
    was read; a conversation from the history holds its own branch only."""

    def prompt(self, question: Message | None = None) -> tuple[Message, ...]:
        """The messages an engine sees: system, history and, unless None, `question` as the last.

        History is the messages that are not omitted, after the summary of those that are.
        """
        sent = [] if self.system is None else [Message("system", self.system)]
        omitted = self.omitted or Omission(0)
        if omitted.summary:
            sent += [Message("user", RECAP), Message("assistant", omitted.summary)]
        sent += without_open_questions(self.messages[omitted.messages :])
        if question is not None:
            sent.append(question)
        return tuple(sent)

    def cut(self, keep: int) -> None:
        """Keep the first `keep` messages only."""
        del self.messages[keep:]
        del self.ids[keep:]
        self.others = []
        if self.omitted is not None and self.omitted.messages > keep:
            self.omitted = None

    def other_branches(self) -> int:
        """How many other branches there are, by `others`."""
        return len({-n for n in range(1, len(self.others) + 1)} - {at for at, _ in self.others})

    def last_reply(self) -> Message | None:
        """The last one that is sent again: one without text is not, nor is its question."""
        replies = (each for each in reversed(self.messages) if each.role == "assistant")
        return next((each for each in replies if not is_broken_off(each)), None)

    def last_question(self) -> int | None:
        """The index of the last user message, or None."""
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index].role == "user":
                return index
        return None


def is_answer(message: Message) -> bool:
    """Whether a message is a reply of which at least something came, or that ended by itself."""
    return message.role == "assistant" and bool(message.thinking or not is_broken_off(message))


def is_broken_off(message: Message) -> bool:
    """Whether a message is a reply that was stopped, or failed, before it had any text."""
    broken = message.finish_reason in ("cancelled", "interrupted")
    return message.role == "assistant" and not message.text and broken


def without_open_questions(messages: Sequence[Message]) -> list[Message]:
    """`messages` without replies that were broken off before any text, and their questions.

    A reply that ended without text by itself is one all the same: roles alternate.
    """
    kept: list[Message] = []
    for message in messages:
        if is_broken_off(message):
            if kept and kept[-1].role == "user":
                kept.pop()
        else:
            kept.append(message)
    return kept


def without_open_reply(messages: Sequence[Message]) -> Sequence[Message]:
    """`messages` without an empty reply at the end: it is the one that is to come."""
    is_open = bool(messages) and messages[-1].role == "assistant" and not messages[-1].text
    return messages[:-1] if is_open else messages


def call_of(message: Message) -> dict[str, Any] | None:
    """The tool that an assistant's message calls, and with what; None if it calls none.

    Arguments that are a JSON object are given as one.
    """
    if message.role != "assistant" or not message.name:
        return None
    try:
        arguments = json.loads(message.text)
    except (ValueError, RecursionError):
        arguments = None
    known = arguments if isinstance(arguments, dict) else message.text
    return {"name": message.name, "arguments": known}


def said_text(message: Message) -> str:
    """What a message says where only text is taken: a call of a tool as JSON with its name."""
    call = call_of(message)
    return message.text if call is None else json.dumps(call, ensure_ascii=False)


def fold_system(messages: Sequence[Message]) -> list[Message] | None:
    """`messages` with the system prompt at the head of the first user message, if it has both."""
    system = next((item for item in messages if item.role == "system"), None)
    rest = [item for item in messages if item.role != "system"]
    if system is None or not rest or rest[0].role != "user":
        return None
    text = f"{system.text}\n\n{rest[0].text}" if system.text else rest[0].text
    return [replace(rest[0], text=text), *rest[1:]]


Report = Callable[[Progress], None]
"""Called from the engine's thread while something takes time."""
