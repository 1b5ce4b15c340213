"""One message of a conversation from JSON: our own, OpenAI's, and other programs'.

Raises rather than leave something out. Knows nothing of files and of whole conversations.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, TypeVar, cast, get_args

from glmcli.conversation.dates import date_of
from glmcli.conversation.reasoning import split_reasoning
from glmcli.errors import UsageError
from glmcli.language import later, tr
from glmcli.types import ROLES, FinishReason, GenerationParams, Message, Usage

Json = dict[str, Any]
Value = TypeVar("Value", GenerationParams, Usage)

OTHER_ROLES = {"developer": "system", "function": "tool", "observation": "tool"}
"""Other programs' roles -> ours."""
REASONING = ("thinking", "reasoning_content", "reasoning")
"""Fields with the reasoning of a reply."""
PART_FIELDS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
}
"""Kinds of parts of a content -> the field with what they say."""
READABLE = later(
    "glm reads its own JSON and JSON lines, OpenAI message lists, FastChat and transformers chats"
)


def is_message(value: Any) -> bool:
    """Whether a JSON value is an OpenAI message, not a conversation."""
    return isinstance(value, dict) and "role" in value


def message_of(item: Any, n: int) -> Message:
    """The `n`-th message from JSON. Raises UsageError rather than leave something out."""
    if not is_message(item):
        raise UsageError(tr("message {n} has no role", n=n), tr(READABLE))
    role = OTHER_ROLES.get(item["role"], item["role"]) if isinstance(item["role"], str) else None
    if role not in ROLES:
        raise UsageError(
            tr("message {n} has the role {role!r}", n=n, role=item["role"]),
            tr("it must be one of {roles}", roles=", ".join(ROLES)),
        )
    text, inner = message_text(item, n)
    name = text_field(item, "name", "metadata")
    if calls := item.get("tool_calls"):
        text, name = tool_call(calls, text, n)
    tools = item.get("tools") or ""
    reason = item.get("finish_reason")
    message = Message(
        role,
        text,
        thinking=text_field(item, *REASONING) or inner,
        finish_reason=cast(FinishReason, reason) if reason in get_args(FinishReason) else None,
        usage=value_of(Usage, item["usage"]).believed() if item.get("usage") else None,
        name=name,
        tools=tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False),
        created=date_of(item.get("created")),
    )
    return split_reasoning(message)


def message_text(item: Json, n: int) -> tuple[str, str]:
    """The text of a message's content, and the thinking in it: a string, or a list of parts.

    Where there is none, words with which the assistant declines. Raises UsageError.
    """
    match item.get("content"):
        case None | "":
            return text_field(item, "refusal"), ""
        case str(text):
            return text, ""
        case list(parts) if all(isinstance(part, dict) for part in parts):
            unknown = {str(part.get("type")) for part in parts} - PART_FIELDS.keys()
            if unknown:
                raise UsageError(
                    tr("message {n} holds {kinds}", n=n, kinds=", ".join(sorted(unknown))),
                    tr("only text is read"),
                )
            thoughts = [part for part in parts if part["type"] == "thinking"]
            texts = [part for part in parts if part["type"] != "thinking"]
            return joined_parts(texts), joined_parts(thoughts)
    raise UsageError(tr("the content of message {n} is not text", n=n), tr(READABLE))


def joined_parts(parts: list[Json]) -> str:
    """What parts of a content say; a thinking one may be a list of parts of text itself."""
    said = ""
    for part in parts:
        inner = part.get(PART_FIELDS[part["type"]])
        texts = inner if isinstance(inner, list) else [{"text": inner}]
        if not all(isinstance(each, dict) for each in texts):
            texts = [{"text": inner}]
        said += "".join(text_field(each, "text") for each in texts)
    return said


def tool_call(calls: Any, text: str, n: int) -> tuple[str, str]:
    """What the call says and the tool's name, for a message that calls one tool."""
    match calls:
        case [{"function": {"name": str(name), "arguments": str(arguments)}}] if not text:
            return arguments, name
    raise UsageError(
        tr("message {n} calls several tools", n=n), tr("only one call per message can be read")
    )


def text_field(record: Json, *names: str) -> str:
    """The first of the named fields that is there; "" if none is. Raises UsageError if no text."""
    value = next((record[name] for name in names if record.get(name) is not None), "")
    if not isinstance(value, str):
        raise UsageError(
            tr("{name!r} is not text but {kind}", name=names[0], kind=kind_of(value)), tr(READABLE)
        )
    return value


def value_of(kind: type[Value], record: Any) -> Value:
    """Settings or counts from JSON; names that are unknown are left out. Raises UsageError."""
    if not isinstance(record, dict):
        raise UsageError(
            tr("settings and counts are JSON objects, not {kind}", kind=kind_of(record)),
            tr(READABLE),
        )
    known = {item.name for item in fields(kind)}
    values = {name: value for name, value in record.items() if name in known}
    for name, value in values.items():
        if name == "stop" and isinstance(value, list) and all(isinstance(s, str) for s in value):
            values[name] = tuple(value)
        elif not (value is None or isinstance(value, int | float)):
            raise UsageError(odd_value(name, value), tr(READABLE))
    return kind(**values)


def odd_value(name: str, value: Any) -> str:
    """What is wrong with the JSON value of a setting or a count."""
    if name == "stop" and isinstance(value, list):
        odd = next(each for each in value if not isinstance(each, str))
        return tr("{name!r} has {kind} among its texts", name=name, kind=kind_of(odd))
    if name == "stop":
        return tr("{name!r} is not a list of texts but {kind}", name=name, kind=kind_of(value))
    if name == "think":
        return tr("{name!r} is not true or false but {kind}", name=name, kind=kind_of(value))
    return tr("{name!r} is not a number but {kind}", name=name, kind=kind_of(value))


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    kinds = {
        dict: later("an object"),
        list: later("a list"),
        str: later("a text"),
        bool: later("true or false"),
        type(None): "null",
    }
    return tr(kinds.get(type(value), later("a number")))
