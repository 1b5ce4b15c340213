"""Commands of the chat itself: help, leaving, a new conversation, files, sizes."""

from __future__ import annotations

import math
from dataclasses import replace

from glmcli.chat.commands.lines import line_for, said_of
from glmcli.chat.commands.table import (
    COMMANDS,
    Chat,
    Command,
    columns,
    command,
)
from glmcli.engines import state_of
from glmcli.errors import UsageError
from glmcli.language import later, ntr, tr
from glmcli.session import Session
from glmcli.types import Message

FOREMOST = {
    "reset": later("start a new conversation; the old one stays in the history"),
    "resume": later("go on with an earlier conversation"),
    "retry": later("ask the last question again, with other settings if given"),
    "edit": later("write in the editor; /edit N changes your N-th question"),
    "attach": later("send a file with the next message, as @FILE in it does"),
    "copy": later("copy the last reply; /copy N copies its N-th code block"),
    "model": later("show the model, or go on with another"),
}
"""The commands that /help explains, since people need them most."""
GROUPS = {
    later("this conversation"): ("continue", "undo", "tree", "goto", "fork", "title", "summary"),
    later("files, history"): ("save", "export", "load", "history"),
    later("what to show"): ("tokens", "stats", "redraw", "thinking"),
    later("how to answer"): ("set", "system", "role", "think"),
    later("the prompt"): ("multiline", "help", "exit"),
}


def all_commands() -> list[tuple[str, Command]]:
    """The commands by name."""
    return sorted(COMMANDS.items())


@command("[COMMAND]", words=lambda chat, typed: [(name, it.help) for name, it in all_commands()])
def help(chat: Chat, rest: str) -> str:
    """Show the commands: those that matter first, the others in groups; or all about one."""
    wanted = rest.lstrip("/")
    if wanted and wanted not in COMMANDS:
        line = line_for(wanted)
        is_ours = line.startswith("/") and " " not in line
        hint = said_of(f"/help {line[1:]}" if is_ours else line) or tr("/help lists the commands")
        raise UsageError(tr("there is no command /{word}", word=wanted), hint)
    if wanted:
        item = COMMANDS[wanted]
        return columns([(f"/{item.name} {item.usage}".rstrip(), item.help)])
    first = columns([(f"/{name}", tr(text)) for name, text in FOREMOST.items()])
    more = tr("/help COMMAND says more about one.")
    return "\n\n".join(filter(None, [first, f"{columns(groups())}\n{more}", chat.keys()]))


def groups() -> list[tuple[str, str]]:
    """The other commands, each group with its title; what is in no group comes last."""
    grouped = {*FOREMOST, *(name for names in GROUPS.values() for name in names)}
    others = [name for name, _ in all_commands() if name not in grouped]
    rows = [*GROUPS.items(), *([(later("others"), tuple(others))] if others else [])]
    return [(tr(title), " ".join(f"/{name}" for name in names)) for title, names in rows]


@command()
def exit(chat: Chat, rest: str) -> str:
    """Leave. The conversation stays in the history."""
    chat.check_kept()
    chat.leaving = True
    return ""


@command()
def reset(chat: Chat, rest: str) -> str:
    """Start a new conversation; the old one stays in the history."""
    chat.check_kept()
    chat.session.reset()
    chat.attached.clear()
    return tr("a new conversation")


@command()
def tokens(chat: Chat, rest: str) -> str:
    """Show the prompt's exact size by role, the window, and the totals of the session."""
    session = chat.session
    prompt = session.conversation.prompt()
    total = session.count(prompt) if prompt else 0
    window = session.engine.context_tokens
    unknown, rows, share = "", [], ""
    if total is not None:
        rows = [*by_role(session, prompt, total), (tr("prompt"), total)]
    elif state_of(session.engine).is_open:
        unknown = tr("the prompt's size is not known here: the server does not count it")
    else:
        unknown = tr("the prompt's size is not known until the model is loaded")
    if window:
        rows.append((tr("window"), window))
        if total is not None:
            rows.append((tr("left"), window - total))
            part = tr("{share:.0%} of the window", share=total / window)
            share = f"{bar(total / window)} {part}"
    table = columns([(name, f"{count:>9,}") for name, count in rows], gap=1)
    used = session.totals
    totals = ntr(
        "session: {n} turn, {prompt:,} prompt tokens ({cached:,} cached), {reply:,} reply tokens",
        "session: {n} turns, {prompt:,} prompt tokens ({cached:,} cached), {reply:,} reply tokens",
        used.turns,
        prompt=used.prompt_tokens,
        cached=used.cached_tokens,
        reply=used.completion_tokens,
    )
    return "\n".join(filter(None, [unknown, table, share, totals]))


def bar(share: float, *, columns: int = 20) -> str:
    """A bar of `columns` cells, filled to `share`."""
    filled = min(columns, math.ceil(share * columns))
    return "#" * filled + "-" * (columns - filled)


def by_role(session: Session, prompt: tuple[Message, ...], total: int) -> list[tuple[str, int]]:
    """Tokens of each role's text, and of the template around them. They add up to `total`."""
    counts = []
    for role in dict.fromkeys(message.role for message in prompt):
        blanked = [replace(item, text="") if item.role == role else item for item in prompt]
        without = session.count(blanked)
        if without is None:
            return []
        counts.append((str(role), total - without))
    return [*counts, (tr("template"), total - sum(count for _, count in counts))]
