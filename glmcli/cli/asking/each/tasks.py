"""What one line asks for: a prompt as text, or a JSON object with its own settings.

Knows nothing of engines, nor of where lines come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from glmcli.cli.asking.each.filling import WHOLE_LINE, FilledPrompt
from glmcli.cli.asking.each.lines import RawLine
from glmcli.conversation.attachments import join_files
from glmcli.conversation.messages import READABLE, kind_of
from glmcli.conversation.roles import SAMPLING
from glmcli.conversation.transcript import check_messages, from_messages, parse_params
from glmcli.errors import GlmError, UsageError
from glmcli.files import decode_text, json_text, parse_json
from glmcli.language import tr
from glmcli.paths import LARGEST_MESSAGE, check_prompt, check_utf8
from glmcli.types import Conversation, GenerationParams, Message

Id = str | int | None
"""What a line calls itself, or its number; None for JSON that cannot be read."""
LINE_FIELDS = ("id", "prompt", "system", "messages", *SAMPLING)
"""What is read of an object; all else is there for `--prompt`."""
JSON_ENDINGS = (".jsonl", ".ndjson")
ASKED_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Task:
    """A line that can be asked."""

    id: Id
    line: int
    """Its number, from 1."""
    messages: Sequence[Message]
    params: GenerationParams
    model: str = ""

    @property
    def asked(self) -> str:
        """What tells the question from all others: a few signs made of all that decides the answer.

        Settings that are not set are left out, so that new ones change nothing.
        """
        said = [[it.role, it.text, it.thinking, it.name, it.tools] for it in self.messages]
        settings = {name: it for name, it in asdict(self.params).items() if it not in (None, ())}
        text = json_text([self.model, said, settings])
        return sha256(text.encode(errors="replace")).hexdigest()[:ASKED_DIGITS]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be asked, and why."""

    id: Id
    line: int
    error: GlmError


@dataclass(slots=True)
class LineForm:
    """How lines become tasks: what they have in common."""

    params: GenerationParams
    model: str = ""
    system: str | None = None
    earlier: Sequence[Message] = ()
    """Messages before those of each line."""
    prompt: FilledPrompt | None = None
    framed: Callable[[str], str] = str
    """Puts the words of a role around a prompt."""
    files: Sequence[str] = ()
    """Files that go with each line, under their headers."""
    is_json: bool | None = None
    """Whether a line is a JSON object; None until the first one decides."""
    unread: dict[str, None] = field(default_factory=dict)
    """Fields that were in some line and are read by nothing."""
    objects: int = 0
    """Lines that are objects, but are asked as text."""

    @property
    def earlier_asks(self) -> bool:
        """Whether a line needs no prompt, since the messages before it end with one."""
        return is_question(self.earlier)

    def task(self, line: RawLine) -> Task | BadLine:
        """What a line asks for; whatever is wrong with it is told, not raised."""
        name: Id = line.number
        try:
            text = line_text(line)
            if self.is_json is None:
                self.is_json = is_object(text)
            if not self.is_json:
                self.objects += is_object(text)
                said = text if self.prompt is None else self.prompt.filled({WHOLE_LINE: text})
                messages = self._messages(Conversation(), said)
                return Task(name, line.number, messages, self.params, self.model)
            name = None
            record = object_in(text)
            name = line_id(record, line.number)
            params = self.params.merged(line_settings(record))
            return Task(name, line.number, self._of_record(record), params, self.model)
        except GlmError as exc:
            return BadLine(name, line.number, exc)

    def _of_record(self, record: Mapping[str, Any]) -> Sequence[Message]:
        own = Conversation()
        if record.get("messages") is not None:
            with hinted(
                tr('they are written so: "messages": [{{"role": "user", "content": "Hi"}}]')
            ):
                from_messages(record["messages"], own)
                check_messages(own)
        if (system := text_in(record, "system")) is not None:
            own.system = system
        if self.prompt is not None:
            said: str | None = self.prompt.filled(record)
        else:
            said = text_in(record, "prompt")
            self.unread |= dict.fromkeys(each for each in record if each not in LINE_FIELDS)
        return self._messages(own, said)

    def _messages(self, own: Conversation, said: str | None) -> Sequence[Message]:
        """What is sent: what is before a line, its own, and what it says. Raises UsageError."""
        own.messages[:0] = self.earlier
        if own.system is None:
            own.system = self.system
        question = None
        if said is not None:
            check_said(said)
            question = Message("user", self.framed(said))
        elif is_question(own.messages):
            question = own.messages.pop()
            check_said(question.text)
        if question is None:
            raise UsageError(tr("there is no prompt in the line"), what_it_needs())
        question = replace(question, text=join_files(question.text, self.files))
        check_prompt(question.text)
        messages = own.prompt(question)
        for each in messages:
            check_message(each.text + each.thinking + each.name + each.tools)
        return messages


def is_question(messages: Sequence[Message]) -> bool:
    """Whether messages end with one that is to be answered."""
    return bool(messages) and messages[-1].role in ("user", "tool")


def what_it_needs() -> str:
    """What makes a question of a line without one, as a hint."""
    return tr('it needs a "prompt", or "messages" that end with one of the user')


def line_text(line: RawLine) -> str:
    """The text of a line. Raises UsageError."""
    where = tr("line {n}", n=line.number)
    if line.is_too_large:
        raise UsageError(
            tr(
                "{name} is too large: {limit:,} bytes is the limit",
                name=where,
                limit=LARGEST_MESSAGE,
            ),
            tr("is it the right file?"),
        )
    return decode_text(line.data, where)


def is_object(text: str) -> bool:
    """Whether a text is a JSON object, whatever is in it."""
    try:
        return text.lstrip().startswith("{") and isinstance(parse_json(text, ""), dict)
    except UsageError:
        return False


def object_in(text: str) -> dict[str, Any]:
    """The JSON object that a line is. Raises UsageError."""
    hint = tr("each line is a JSON object, since the first one is, or the file's name says so")
    try:
        record = parse_json(text, tr("the line"))
    except UsageError as exc:
        exc.hint = hint
        raise
    if not isinstance(record, dict):
        raise UsageError(tr("the line is {kind}, not an object", kind=kind_of(record)), hint)
    return record


def line_id(record: Mapping[str, Any], number: int) -> Id:
    """The id of a line: its own, or its number. Raises UsageError."""
    value = record.get("id")
    if value is None:
        return number
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(
            tr("'id' is {kind}, not a text or a whole number", kind=kind_of(value)),
            tr("without one the number of the line stands for it"),
        )
    return value


def key_of(name: Id) -> str:
    """What tells an id from all others: 1 is not "1"."""
    return json_text(name)


def text_in(record: Mapping[str, Any], name: str) -> str | None:
    """A field that is text, None if it is not there. Raises UsageError."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise UsageError(
            tr("{name!r} is not text but {kind}", name=name, kind=kind_of(value)),
            tr('put it between quotes: "{name}": "…"', name=name),
        )
    return value


def line_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling settings of a line, in their types. Raises UsageError."""
    given = {name: record[name] for name in SAMPLING if record.get(name) is not None}
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    with hinted(tr('without quotes: "max_tokens": 9, "think": true; "stop" is a list of texts')):
        params = parse_params(given)
    return {name: getattr(params, name) for name in given}


@contextmanager
def hinted(hint: str) -> Iterator[None]:
    """Put a hint that helps with a line in place of the one for files of conversations."""
    try:
        yield
    except UsageError as exc:
        if exc.hint == tr(READABLE):
            exc.hint = hint
        raise


def check_said(text: str) -> None:
    """Raise UsageError for a question without a word."""
    if not text.strip():
        raise UsageError(tr("the prompt is empty"), tr("write one, or leave the line out"))


def check_message(text: str) -> None:
    """Raise UsageError for what no message can hold."""
    if "\0" in text:
        raise UsageError(tr("a message holds a NUL character"), tr("is it a binary file?"))
    check_utf8(text, tr("a message is not valid UTF-8"))
