"""Commands that ask again, go on, or change how the model answers."""

from __future__ import annotations

import re

from glmcli.chat.commands.lines import PARAMS, line_for, said_of
from glmcli.chat.commands.settings import (
    pair,
    param_name,
    param_value,
    set_display,
    setting_line,
)
from glmcli.chat.commands.table import Chat, command
from glmcli.config import show
from glmcli.conversation.typed import untyped_line
from glmcli.engines import TellsOwn, state_of
from glmcli.errors import UsageError
from glmcli.language import ntr, tr
from glmcli.paths import check_prompt, link_line, read_system, system_as_word, system_file
from glmcli.terminal.phrases import clipped, end_note, system_text
from glmcli.types import Message

EMPTY = ('""', "''")
"""How an empty text is typed."""


def again(chat: Chat) -> str:
    """Take back the last question to ask it again. Raises UsageError, before it does."""
    questions = questions_of(chat)
    if not questions:
        raise UsageError(
            tr("nothing was asked yet"), tr("ask something; /retry asks the last question again")
        )
    check_prompt(questions[-1])
    return chat.session.take_back()


def questions_of(chat: Chat) -> list[str]:
    """The questions of the conversation."""
    return [item.text for item in chat.session.conversation.messages if item.role == "user"]


def samplings(chat: Chat, typed: str) -> list[tuple[str, str]]:
    """Words that may follow /retry, for completion."""
    before = typed[: typed.rfind(" ") + 1]
    return [(f"{before}{name}=", "") for name in PARAMS]


@command("[NAME=VALUE …]", words=samplings)
def retry(chat: Chat, rest: str) -> str:
    """Ask the last question again, with other settings if given: /retry temperature=0.2."""
    try:
        changes = dict(sampling(word) for word in rest.split())
    except UsageError as exc:
        exc.hint = said_of(retry_line(rest)) if retry_line(rest) else exc.hint
        raise
    with chat.session.sampling(changes):
        chat.ask(again(chat))
    return ""


def retry_line(rest: str) -> str:
    """The line that was meant by `/retry with temperature 1`, or `/retry 1`; "" if unclear."""
    words = re.sub(r"\s*[=:,]\s*|\s+", " ", re.sub(r"(?<!\S)--?(?=[a-z])", "", rest)).split()
    words = [word for word in words if word not in ("with", "at", "and", "to")]
    pairs = list[str]()
    while words:
        name = words.pop(0)
        if re.fullmatch(r"[0-9.]+", name):
            words.insert(0, name)
            name = "temperature"
        line = f"/set {name}" if name in PARAMS else line_for(name)
        name = line.removeprefix("/set ")
        if name not in PARAMS or not words:
            return ""
        try:
            param_value(name, words[0])
        except UsageError:
            return ""
        pairs.append(f"{name}={words.pop(0)}")
    return " ".join(["/retry", *pairs])


def sampling(word: str) -> tuple[str, object]:
    """NAME=VALUE as a sampling setting. Raises UsageError."""
    if "=" not in word:
        raise UsageError(tr("{word} is not NAME=VALUE", word=word), "/retry temperature=0.2")
    name, value = pair(word)
    if (name := param_name(name)) not in PARAMS:
        raise UsageError(
            tr("{name} does not change a reply", name=name),
            f"/set {name} {value}",
        )
    return name, param_value(name, value)


@command()
def undo(chat: Chat, rest: str) -> str:
    """Take back the last question and its reply."""
    text = chat.session.take_back()
    return tr("took back: {text}", text=clipped(" ".join(text.split()), 60))


@command()
def continue_(chat: Chat, rest: str) -> str:
    """Let the model go on with its last reply, for example one that was cut or stopped."""
    messages = chat.session.conversation.messages
    if not messages or messages[-1].role != "assistant":
        raise UsageError(tr("there is no reply to go on with"), tr("ask something first"))
    reply = messages[-1]
    if not reply.text:
        raise UsageError(tr("the last reply has no text to go on with"), tr("/retry asks again"))
    chat.ask(again(chat), after=reply)
    return ""


@command("[N]")
def edit(chat: Chat, rest: str) -> str:
    """Write a message in the editor; with N, change your N-th question and go on from there."""
    if not rest:
        chat.draft = untyped_line(chat.edit(""))
        return ""
    questions = questions_of(chat)
    if not questions:
        raise UsageError(tr("there is no question to edit"), tr("ask something first"))
    has = ntr(
        "there is {n} question: /edit N opens one",
        "there are {n} questions: /edit N opens one",
        len(questions),
    )
    number = parse_number(rest, len(questions), has)
    text = chat.edit(questions[number - 1]).rstrip("\n")
    if text.strip() in ("", questions[number - 1].strip()):
        return tr("nothing was changed")
    check_prompt(text)
    for _ in questions[number - 1 :]:
        chat.session.take_back()
    chat.ask(text)
    return ""


def parse_number(text: str, most: int, has: str) -> int:
    """A number from 1 to `most`. Raises UsageError, which says what there `has` been to choose."""
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise UsageError(
            tr("there is no number {text} here", text=text),
            has,
        )
    return int(text)


@command("[N]")
def copy(chat: Chat, rest: str) -> str:
    """Copy the last reply, or its N-th code block, to the clipboard."""
    text = last_reply(chat).text
    if not text:
        raise UsageError(tr("the last reply has no text"), tr("/retry asks again"))
    if rest:
        text = code_block(chat, rest, tr("/copy copies the whole reply"))
    chat.copy(text)
    return ntr("copied {n:,} character", "copied {n:,} characters", len(text))


def last_reply(chat: Chat) -> Message:
    """The last reply. Raises UsageError if there is none."""
    for message in reversed(chat.session.conversation.messages):
        if message.role == "assistant":
            return message
    raise UsageError(tr("there is no reply yet"), tr("ask something first"))


def code_block(chat: Chat, number: str, hint: str) -> str:
    """A code block of the last reply. Raises UsageError, with the hint if it has none."""
    from glmcli.terminal.markdown.code import code_blocks

    blocks = code_blocks(last_reply(chat).text)
    if not blocks:
        raise UsageError(tr("the last reply has no code block"), hint)
    has = ntr(
        "the last reply has {n} code block", "the last reply has {n} code blocks", len(blocks)
    )
    return blocks[parse_number(number, len(blocks), tr("; ").join([has, hint])) - 1]


@command()
def redraw(chat: Chat, rest: str) -> str:
    """Show the last reply again."""
    reply = last_reply(chat)
    chat.show(reply)
    return end_note(reply, commands=True)


@command("[show|fold|hide]")
def thinking(chat: Chat, rest: str) -> str:
    """Show the reasoning of the last reply, or choose how reasoning is shown."""
    if rest:
        return set_display(chat, "thinking", rest)
    return last_reply(chat).thinking or tr("the last reply has no reasoning")


@command("[on|off|default]")
def think(chat: Chat, rest: str) -> str:
    """Choose whether a reasoning model reasons, where it lets you."""
    if rest:
        chat.session.set_param("think", param_value("think", rest))
    value = show(chat.session.params.think)
    return setting_line("think", value or tr("the default of the model"))


@command("[TEXT|@FILE]")
def system(chat: Chat, rest: str) -> str:
    """Show the system prompt, or set it to TEXT or @FILE; `""` is empty, off is none."""
    session, link, word = chat.session, "", ""
    if rest:
        text = "" if rest in EMPTY else rest
        session.set_system(None if rest == "off" else read_system(text))
        path = system_file(text)
        link = link_line(path) if path else ""
        word = system_as_word(text, "/system {file}")
    said = f"{tr('system:')} {system_text(session.conversation.system)}"
    engine = session.engine
    own = ""
    if session.conversation.system is None and isinstance(engine, TellsOwn):
        own = engine.own_system()
    added = tr("the model's template adds: {text}", text=own) if own else ""
    if session.conversation.system is None and not state_of(engine).is_open:
        added = tr("what the model's template adds is known once it is loaded")
    return "\n".join(filter(None, [link, said, word, added]))
