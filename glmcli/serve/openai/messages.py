"""The messages, or the text, that a request holds: what is wrong is told by the field's name."""

from __future__ import annotations

from typing import Any

from glmcli.conversation.messages import OTHER_ROLES, PART_FIELDS, message_of
from glmcli.errors import UsageError
from glmcli.serve.openai.fields import Fields, flag_in, lack_of, shown
from glmcli.serve.refusal import Refusal
from glmcli.types import ROLES, Message

_OF_MESSAGES = ("role", "content", "tool_calls", "refusal", "reasoning_content", "reasoning")
_INSTEAD = ("tool_calls", "refusal", "reasoning_content", "reasoning")
"""What an assistant's message may have in place of its content."""
_ROLES = tuple({**dict.fromkeys(ROLES), **OTHER_ROLES})


def messages_of(body: Fields) -> tuple[Message, ...]:
    """The conversation that was sent. Raises Refusal."""
    items = body.get("messages")
    if lack := lack_of(items):
        raise Refusal(400, f"messages is {lack}", param="messages")
    if not isinstance(items, list):
        raise Refusal(400, "messages is a list with at least one message", param="messages")
    return tuple(_message_in(item, f"messages[{at}]", at + 1) for at, item in enumerate(items))


def _message_in(item: Any, param: str, number: int) -> Message:
    """The message that stands at `param`. Raises Refusal."""
    if not isinstance(item, dict):
        raise Refusal(400, f"{param} is an object, not {shown(item)}", param=param)
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        line = f"{param}.role is one of {', '.join(_ROLES)}"
        raise Refusal(400, line, param=f"{param}.role")
    if item.get("content") is None and not (role == "assistant" and any(map(item.get, _INSTEAD))):
        raise Refusal(400, f"{param}.content is missing", param=f"{param}.content")
    _check_content(item.get("content"), f"{param}.content")
    for name in ("name", "refusal", "reasoning_content", "reasoning"):
        _check_text(item.get(name), f"{param}.{name}")
    if item.get("tool_calls"):
        _check_calls(item, f"{param}.tool_calls")
    known = {name: item[name] for name in _OF_MESSAGES if name in item}
    if role in ("tool", "function"):  # of others it is who speaks
        known["name"] = item.get("name")
    try:
        return message_of(known, number)
    except UsageError as exc:
        raise Refusal(400, f"{param} cannot be read: {exc.message}", param=param) from exc


def _check_text(value: Any, param: str) -> None:
    if not isinstance(value, str | None):
        raise Refusal(400, f"{param} is a text, not {shown(value)}", param=param)


def _check_content(content: Any, param: str) -> None:
    """Raise Refusal for a content that is neither a text nor a list of parts of text."""
    if isinstance(content, str | None):
        return
    if not isinstance(content, list):
        line = f"{param} is a text or a list of parts, not {shown(content)}"
        raise Refusal(400, line, param=param)
    for at, part in enumerate(content):
        within = f"{param}[{at}]"
        if not isinstance(part, dict):
            raise Refusal(400, f"{within} is an object, not {shown(part)}", param=within)
        kind = part.get("type")
        if not isinstance(kind, str) or kind not in PART_FIELDS:
            line = f"{within}.type is one of {', '.join(PART_FIELDS)}: only text is read"
            raise Refusal(400, line, param=f"{within}.type")
        name = PART_FIELDS[kind]
        if not isinstance(part.get(name), str | (list if kind == "thinking" else str)):
            line = f"{within}.{name} is a text, not {shown(part.get(name))}"
            raise Refusal(400, line, param=f"{within}.{name}")


def _check_calls(item: Fields, param: str) -> None:
    """Raise Refusal for calls other than one of a function, without a text beside it."""
    match item["tool_calls"]:
        case [{"function": {"name": str(), "arguments": str()}}]:
            if item.get("content"):
                raise Refusal(400, f"{param} takes no content beside it", param=param)
        case _:
            line = f"{param} is a list of one call of a function, with its name and arguments"
            raise Refusal(400, line, param=param)


def text_prompt(body: Fields) -> Message:
    """A plain text, or a list of one. Raises Refusal."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if lack := lack_of(prompt):
        raise Refusal(400, f"prompt is {lack}", param="prompt")
    if not isinstance(prompt, str):
        line = "prompt is a text, or a list of one text; ids of tokens are not taken"
        raise Refusal(400, line, param="prompt")
    return Message("raw", prompt)


def check_ending(body: Fields, last: Message) -> None:
    """Raise Refusal for switches that want another beginning of the reply than it gets.

    It goes on with a last message that is the assistant's, and begins anew after all others.
    """
    continues = last.role == "assistant"
    why = "the last message is the assistant's" if continues else "the last message is another's"
    for name, done in (("continue_final_message", continues), ("add_generation_prompt", None)):
        asked, done = flag_in(body, name), not continues if done is None else done
        if asked not in (None, done):
            raise Refusal(400, f"{name} is {str(done).lower()} here: {why}", param=name)
