"""Conversations as text: Markdown to read; JSON to read back; other programs' JSON to import.

Pure functions between `Conversation` and text, and those that read or write a file of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

from glmcli.config import parse as parse_setting
from glmcli.config import variable
from glmcli.conversation.dates import dated, dates_of, dates_record
from glmcli.conversation.messages import (
    READABLE,
    Json,
    is_message,
    kind_of,
    message_of,
    text_field,
    value_of,
)
from glmcli.conversation.reasoning import split_reasoning
from glmcli.errors import ConfigError, UsageError
from glmcli.files import DEEPEST, MB, depth, has_more_values, json_text, loads, read_text
from glmcli.harmless import in_a_line
from glmcli.language import tr
from glmcli.ours import write_file
from glmcli.paths import LARGEST_MESSAGE, is_too_large, short_model, split_address
from glmcli.types import (
    Conversation,
    GenerationParams,
    Message,
    Omission,
    Role,
)

_HEADINGS = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}
_LONGEST_TITLE = 500
LARGEST_FILE = 256 * MB
"""Bytes of a file that is read: 60 million tokens, years of conversations."""
_MOST_VALUES = 10_000_000
"""As `has_more_values` counts them: 250,000 messages with all that is known of each."""


def save_conversation(conversation: Conversation, path: Path, *, overwrite: bool = False) -> Path:
    """Write a conversation as the file's ending says: see WRITERS.

    Returns the absolute path. Raises UsageError if the file exists or its ending is unknown,
    StoreError.
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise UsageError(
            tr("a conversation cannot be saved as {ending}", ending=path.suffix),
            tr("name a .md, .json or .jsonl file"),
        )
    return write_file(path, write(conversation), overwrite=overwrite)


def sent_by_ask(name: str) -> str:
    """What to do with a file of text: it is sent with a question."""
    return tr("a text goes with a question: glm ask -a {name} QUESTION", name=name)


def load_conversation(path: Path, in_place: Callable[[str], str] = sent_by_ask) -> Conversation:
    """Read the one conversation in a file; a list of no messages is one too. Raises UsageError."""
    found = load_all(path, empty=True, in_place=in_place)
    if len(found) != 1:
        raise UsageError(
            tr("{name} holds {n} conversations", name=path, n=len(found)),
            tr("glm history import {name} takes them all", name=quote(str(path))),
        )
    return found[0]


def load_all(
    path: Path, *, empty: bool = False, in_place: Callable[[str], str] = sent_by_ask
) -> list[Conversation]:
    """Read the conversations in a file, see `parse_conversations`. Raises UsageError.

    `in_place` says what to do with a file of text, by its name.
    """
    text = read_text(path, limit=LARGEST_FILE, what=tr("the conversation"))
    try:
        return parse_conversations(text, empty=empty)
    except UsageError as exc:
        is_text = path.suffix.lower() not in (".json", ".jsonl") and text.strip()[:1] not in "{["
        hint = in_place(quote(str(path))) if is_text and text.strip() else exc.hint
        raise UsageError(f"{path}: {exc.message}", hint) from exc


def to_markdown(conversation: Conversation) -> str:
    """A conversation to read: a heading for every message.

    Headings are lines of this program's, harmless wherever they go; texts are as they were said.
    """
    parts = [f"# {in_a_line(conversation.title or 'Conversation')}"]
    if conversation.model:
        parts.append(f"Model: {in_a_line(short_model(conversation.model))}")
    if others := conversation.other_branches():
        parts.append(f"Other branches: {others}, which are in an export as JSON only")
    if conversation.system is not None:
        parts += filter(None, ["## System", conversation.system])
    for message in conversation.messages:
        name = f" ({in_a_line(message.name)})" if message.name else ""
        parts.append(f"## {_HEADINGS[message.role]}{name}")
        if message.tools:
            parts.append(f"```json\n{message.tools}\n```")
        if message.thinking:
            parts.append(
                f"<details><summary>Thinking</summary>\n\n{message.thinking}\n\n</details>"
            )
        if message.text:
            parts.append(message.text)
        if message.finish_reason not in (None, "stop"):
            parts.append(f"*({message.finish_reason})*")
    return "\n\n".join(parts) + "\n"


def to_json(*conversations: Conversation) -> str:
    """Conversations exactly: one as an object, several as a list."""
    records = [to_record(each) for each in conversations]
    whole = records[0] if len(records) == 1 else records
    return json_text(whole, indent=2) + "\n"


def to_jsonl(*conversations: Conversation) -> str:
    """Conversations exactly, one a line."""
    return "".join(json_text(to_record(each)) + "\n" for each in conversations)


WRITERS: dict[str, Callable[[Conversation], str]] = {
    "": to_markdown,
    ".md": to_markdown,
    ".markdown": to_markdown,
    ".txt": to_markdown,
    ".json": to_json,
    ".jsonl": to_jsonl,
}
"""A file's ending -> the function that writes it."""


def to_record(conversation: Conversation) -> Json:
    """A conversation as JSON that OpenAI tools can read too."""
    record: Json = {
        "id": conversation.id,
        "title": conversation.title,
        "model": split_address(conversation.model)[0],  # where its server is, is the user's own
        "system": conversation.system,
        "params": params_record(conversation.params),
        **({"kind": conversation.kind} if conversation.kind else {}),
        **dates_of(conversation),
        "messages": [message_record(each) for each in conversation.messages],
    }
    if conversation.omitted is not None and conversation.omitted.summary:
        record["omitted"] = asdict(conversation.omitted)
    if conversation.others:
        record["branches"] = [
            {"follows": at, **message_record(each)} for at, each in conversation.others
        ]
    return record


def params_record(params: GenerationParams) -> Json:
    """The settings that are set."""
    return {name: value for name, value in asdict(params).items() if value not in (None, ())}


def message_record(message: Message) -> Json:
    """A message as JSON, without empty fields."""
    record: Json = {"role": message.role, "content": message.text}
    record |= {
        name: getattr(message, name)
        for name in ("thinking", "finish_reason", "name", "tools")
        if getattr(message, name)
    }
    if message.usage:
        record["usage"] = asdict(message.usage)
    return record | dates_record(created=message.created)


def parse_conversations(text: str, *, empty: bool = False) -> list[Conversation]:
    """The conversations in `text`: see READABLE. Raises UsageError if it is something else.

    `empty` says that `[]` is a conversation without messages, not no conversation.
    """
    found: list[Conversation] = []
    for value in parse_json_lines(text):
        if isinstance(value, list) and not any(is_message(item) for item in value):
            found += [from_record(item) for item in value]
            found += [Conversation()] if empty and not value else []
        elif isinstance(value, list):
            found.append(from_messages(value, Conversation()))
        elif isinstance(value, dict):
            found.append(from_record(value))
    if not found:
        raise UsageError(tr("there is no conversation in it"), tr(READABLE))
    for conversation in found:
        check_messages(conversation)
    return found


def check_messages(conversation: Conversation) -> None:
    """Raise UsageError for a message, or a system prompt, that is larger than any is."""
    texts = [(0, conversation.system or "")]
    messages = [*conversation.messages, *(each for _, each in conversation.others)]
    for n, each in enumerate(messages, 1):
        texts += [(n, text) for text in (each.text, each.thinking, each.name, each.tools)]
    for n, text in texts:
        if is_too_large(text):
            name = tr("message {n}", n=n) if n else tr("the system prompt")
            raise UsageError(
                tr(
                    "{name} is too large: {limit:,} bytes is the limit",
                    name=name,
                    limit=LARGEST_MESSAGE,
                ),
                tr("is it the right file?"),
            )


def parse_json_lines(text: str) -> Iterator[Any]:
    """The JSON value that `text` is, or the values of its lines. Raises UsageError."""
    if has_more_values(text, _MOST_VALUES):
        raise UsageError(tr("there are too many values in it"), tr(READABLE))
    try:
        values = json_values(text)
        too_deep = any(depth(value, DEEPEST) > DEEPEST for value in values)
    except RecursionError:
        too_deep = True
    except ValueError as exc:
        raise UsageError(tr("it is not JSON: {reason}", reason=exc), tr(READABLE)) from exc
    if too_deep:
        raise UsageError(tr("it is nested too deeply to be a conversation"), tr(READABLE))
    yield from values


def json_values(text: str) -> list[Any]:
    """The JSON value that `text` is, or the values of its lines. Raises ValueError."""
    try:
        return [loads(text)]
    except json.JSONDecodeError as exc:
        # Not splitlines(): a string in JSON may hold U+2028 and its kin.
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or exc.msg != "Extra data":
            raise
        return [loads(line) for line in lines]


def from_record(record: Any) -> Conversation:
    """A conversation from our JSON object or another program's. Raises UsageError."""
    if not isinstance(record, dict):
        raise UsageError(
            tr("a conversation is a JSON object, not {kind}", kind=kind_of(record)), tr(READABLE)
        )
    if "chat_history" in record:
        settings = record.get("settings")
        model = settings.get("model_id") if isinstance(settings, dict) else ""
        return from_messages(record["chat_history"], Conversation(model=str(model or "")))
    if "roles" in record:
        return from_fastchat(record)
    if "messages" not in record:
        raise UsageError(tr("there is no conversation in it"), tr(READABLE))
    conversation = Conversation(
        id=text_field(record, "id"),
        title=text_field(record, "title")[:_LONGEST_TITLE],
        model=text_field(record, "model"),
        system=None if record.get("system") is None else text_field(record, "system"),
        params=parse_params(record.get("params") or {}),
        kind=kind if (kind := record.get("kind")) in ("chat", "ask") else "",
    )
    if "system" in record:
        messages = message_list(record["messages"])
        conversation.messages = [message_of(item, n) for n, item in enumerate(messages, 1)]
        conversation.omitted = omission_of(record.get("omitted"), len(messages))
        conversation.others = others_of(record.get("branches") or [], len(messages))
    else:
        from_messages(record["messages"], conversation)
    return dated(conversation, record)


def from_messages(items: Any, conversation: Conversation) -> Conversation:
    """`conversation` with OpenAI messages; a first system message is its system prompt."""
    messages = [message_of(item, n) for n, item in enumerate(message_list(items), 1)]
    if messages and messages[0].role == "system" and not messages[0].tools:
        conversation.system = messages.pop(0).text
    conversation.messages = messages
    return conversation


def from_fastchat(record: Json) -> Conversation:
    """A conversation that FastChat saved: messages are pairs of a role's name and a text."""
    roles = message_list(record["roles"])
    conversation = Conversation(system=text_field(record, "system_message", "system") or None)
    for n, item in enumerate(message_list(record.get("messages")), 1):
        match item:
            case [name, None] if name in roles:
                continue  # the reply that was to come
            case [name, str(text)] if name in roles:
                role: Role = "assistant" if roles.index(name) else "user"
                conversation.messages.append(split_reasoning(Message(role, text)))
            case _:
                raise UsageError(tr("message {n} is not a role and a text", n=n), tr(READABLE))
    return conversation


def omission_of(record: Any, most: int) -> Omission | None:
    """What stands for the first of `most` messages, if anything does. Raises UsageError."""
    match record:
        case None:
            return None
        case {"messages": int(count), "summary": str(summary)} if 0 < count <= most and summary:
            return Omission(count, summary)
    raise UsageError(tr("'omitted' is not a summary of the first messages"), tr(READABLE))


def others_of(items: Any, most: int) -> list[tuple[int, Message]]:
    """The messages on other branches than that of the `most` first ones. Raises UsageError."""
    others: list[tuple[int, Message]] = []
    for item in message_list(items):
        at = item.get("follows") if isinstance(item, dict) else None
        if not isinstance(at, int) or not -len(others) <= at <= most:
            raise UsageError(tr("'branches' does not say which message one follows"), tr(READABLE))
        others.append((at, message_of(item, most + len(others) + 1)))
    return others


def message_list(value: Any) -> list[Any]:
    """`value` if it is a list. Raises UsageError."""
    if not isinstance(value, list):
        raise UsageError(
            tr("a list of messages is needed, not {kind}", kind=kind_of(value)), tr(READABLE)
        )
    return value


def parse_params(record: Any) -> GenerationParams:
    """Settings from JSON, as they could be typed. Raises UsageError."""
    params = value_of(GenerationParams, record)
    for name, value in asdict(params).items():
        try:
            if value is not None:
                parse_setting(name, value, "the file")
        except ConfigError as exc:
            said = exc.message.removeprefix(f"{variable(name)} (the file)")
            raise UsageError(f"{name}{said}", exc.hint) from exc
    return params
