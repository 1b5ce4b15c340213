"""Commands that ask again, go on, or change how the model answers."""

from __future__ import annotations

from glmcli.chat.commands.settings import PARAMS, pair, param_name, param_value, set_display
from glmcli.chat.commands.table import Chat, command
from glmcli.config import show
from glmcli.conversation.typed import foreign
from glmcli.errors import UsageError
from glmcli.paths import checked, read_system
from glmcli.terminal.phrases import end_note
from glmcli.types import Message


def again(chat: Chat) -> str:
    """Take back the last question to ask it again. Raises UsageError, before it does."""
    questions = asked(chat)
    if questions:
        checked(questions[-1])
    return chat.session.take_back()


def asked(chat: Chat) -> list[str]:
    """The questions of the conversation."""
    return [item.text for item in chat.session.conversation.messages if item.role == "user"]


def samplings(chat: Chat, typed: str) -> list[tuple[str, str]]:
    """What may follow /retry, for completion."""
    before = typed[: typed.rfind(" ") + 1]
    return [(f"{before}{name}=", "") for name in PARAMS]


@command("[NAME=VALUE …]", words=samplings)
def retry(chat: Chat, rest: str) -> str:
    """Ask the last question again, with other settings if given: /retry temperature=0.2."""
    session = chat.session
    params = session.params.merged(dict(sampling(word) for word in rest.split()))
    text = again(chat)
    before, session.params = session.params, params
    try:
        chat.ask(text)
    finally:
        session.params = before
    return ""


def sampling(word: str) -> tuple[str, object]:
    """NAME=VALUE as a sampling setting. Raises UsageError."""
    if "=" not in word:
        raise UsageError(f"{word} is no NAME=VALUE", "/retry temperature=0.2")
    name, value = pair(word)
    if (name := param_name(name)) not in PARAMS:
        raise UsageError(f"{name} changes no reply", f"/set {name} {value}")
    return name, param_value(name, value)


@command()
def undo(chat: Chat, rest: str) -> str:
    """Take back the last question and its reply."""
    text = chat.session.take_back()
    return f"took back: {' '.join(text.split())[:60]}"


@command()
def continue_(chat: Chat, rest: str) -> str:
    """Let the model go on with its last reply, for example one that was cut or stopped."""
    messages = chat.session.conversation.messages
    if not messages or messages[-1].role != "assistant":
        raise UsageError("there is no reply to go on with", "ask something first")
    reply = messages[-1]
    if not reply.text:
        raise UsageError("the last reply has no text to go on with", "/retry asks again")
    chat.ask(again(chat), after=reply)
    return ""


@command("[N]")
def edit(chat: Chat, rest: str) -> str:
    """Write a message in the editor; with N, change your N-th question and go on from there."""
    if not rest:
        chat.draft = foreign(chat.edit(""))
        return ""
    questions = asked(chat)
    if not questions:
        raise UsageError("there is no question to edit", "ask something first")
    number = whole_number(rest, len(questions))
    text = chat.edit(questions[number - 1]).rstrip("\n")
    if text.strip() in ("", questions[number - 1].strip()):
        return "nothing was changed"
    checked(text)
    for _ in questions[number - 1 :]:
        chat.session.take_back()
    chat.ask(text)
    return ""


def whole_number(text: str, most: int) -> int:
    """A number from 1 to `most`. Raises UsageError."""
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise UsageError(f"there is no number {text} here", f"a number from 1 to {most}")
    return int(text)


@command("[N]")
def copy(chat: Chat, rest: str) -> str:
    """Copy the last reply, or its N-th code block, to the clipboard."""
    text = last_reply(chat).text
    if not text:
        raise UsageError("the last reply has no text", "/retry asks again")
    if rest:
        blocks = code_blocks(text)
        if not blocks:
            raise UsageError("the last reply has no code block", "/copy copies the whole reply")
        text = blocks[whole_number(rest, len(blocks)) - 1]
    chat.copy(text)
    return f"copied {len(text):,} characters"


def last_reply(chat: Chat) -> Message:
    """The last reply. Raises UsageError if there is none."""
    for message in reversed(chat.session.conversation.messages):
        if message.role == "assistant":
            return message
    raise UsageError("there is no reply yet", "ask something first")


def code_blocks(text: str) -> list[str]:
    """The contents of the fenced and indented code blocks of a Markdown text, as it is shown."""
    from glmcli.terminal.markdown.parser import Parser

    tokens = Parser().blocks(text.split("\n"))
    return [token.content for token in tokens if token.type in ("fence", "code_block")]


@command()
def redraw(chat: Chat, rest: str) -> str:
    """Show the last reply again."""
    reply = last_reply(chat)
    chat.show(reply)
    return end_note(reply)


@command("[show|fold|hide]")
def thinking(chat: Chat, rest: str) -> str:
    """Show the reasoning of the last reply, or choose how reasoning is shown."""
    if rest:
        return set_display(chat, "thinking", rest)
    return last_reply(chat).thinking or "the last reply has no reasoning"


@command("[on|off|default]")
def think(chat: Chat, rest: str) -> str:
    """Choose whether a reasoning model reasons, where it lets you."""
    if rest:
        value = param_value("think", rest)
        chat.session.params = chat.session.params.merged({"think": value})
    return f"think is {show(chat.session.params.think) or 'the default of the model'}"


@command("[TEXT]")
def system(chat: Chat, rest: str) -> str:
    """Show the system prompt, or set it to TEXT or to that of @FILE; `/system off` removes it."""
    conversation = chat.session.conversation
    if rest:
        conversation.system = "" if rest == "off" else read_system(rest)
    return f"system: {conversation.system or '(none)'}"
