"""Commands of the chat itself: help, leaving, a new conversation, files, sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from glmcli.chat.commands.fitting import check_alone
from glmcli.chat.commands.history import params_of
from glmcli.chat.commands.table import (
    COMMANDS,
    Chat,
    Command,
    columns,
    command,
    is_built_in,
    line_for,
    said_of,
)
from glmcli.engines import state_of
from glmcli.errors import UsageError
from glmcli.language import later, ntr, tr
from glmcli.paths import absolute, is_file, path_of
from glmcli.session import Session
from glmcli.types import GenerationParams, Message

_BLOCK_FILE = re.compile(r"(.*\S)\s+([0-9]{1,6})", re.DOTALL)


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


@command("[FILE] [N]")
def save(chat: Chat, rest: str) -> str:
    """Write the conversation to FILE (.md, .json), or only the last reply's N-th code block.

    A symbolic link is refused, not followed.
    """
    found = _BLOCK_FILE.fullmatch(rest)
    return save_block(chat, path_of(found[1]), found[2]) if found else save_talk(chat, rest)


def not_alone(word: str, meant: str) -> UsageError:
    """The error for a command with more behind it than a file."""
    return UsageError(tr("/{word} takes a file alone", word=word), said_of(meant))


def save_talk(chat: Chat, rest: str) -> str:
    """Write the conversation."""
    from glmcli.conversation.transcript import save_conversation

    conversation = chat.session.conversation
    if not conversation.messages:
        raise UsageError(tr("there is nothing to save yet"), tr("ask something first"))
    path = path_of(rest) if rest else dated_file()
    if re.match("(?:as|to) ", rest) and not is_file(path):
        raise not_alone("save", f"/save {rest[3:].strip()}")
    whole = chat.session.store.whole(conversation)

    def write(path: Path, *, overwrite: bool) -> Path:
        done = save_conversation(whole, path, overwrite=overwrite)
        chat.keep()
        return done

    return written(chat, path, write)


def save_block(chat: Chat, path: Path, number: str) -> str:
    """Write a code block of the last reply."""
    from glmcli.chat.commands.talk import code_block
    from glmcli.ours import write_file

    code = code_block(chat, number, tr("/save FILE writes the conversation"))
    return written(chat, path, partial(write_file, text=code))


def written(chat: Chat, path: Path, write: Callable[..., Path]) -> str:
    """Write a file, over one that is there only if the user agrees; returns what to say."""
    path, agreed = absolute(path), None
    if is_file(path) and not path.is_symlink():
        agreed = chat.confirm(tr("{path} already exists: overwrite it?", path=path))
    if agreed is False:
        return tr("{path} was not changed", path=path)
    return tr("saved to {path}", path=write(path, overwrite=bool(agreed)))


@command("FILE")
def export(chat: Chat, rest: str) -> str:
    """Write the conversation to FILE as its ending says: .md, .json or .jsonl."""
    if not rest:
        raise UsageError(tr("/export needs a file"), tr("/export talk.md, talk.json or talk.jsonl"))
    return save_talk(chat, rest)


def dated_file() -> Path:
    """A Markdown file in the working folder that does not exist yet."""
    stem = datetime.now().strftime("glm-%Y-%m-%d-%H%M%S")
    names = (f"{stem}{'' if n == 1 else f'-{n}'}.md" for n in range(1, 1000))
    return next(path for path in map(Path, names) if not path.exists())


@command("FILE")
def load(chat: Chat, rest: str) -> str:
    """Go on with a conversation from a JSON file that /save wrote."""
    from glmcli.conversation.attachments import place
    from glmcli.conversation.transcript import load_conversation as read

    if not rest:
        raise UsageError(tr("/load needs a file"), tr("/load FILE.json"))
    path = path_of(rest)
    if is_built_in(rest) and not is_file(path):
        raise not_alone("load", f"/model {rest}")
    conversation = replace(read(path), id="")
    chat.check_kept()
    n = sum(message.role == "user" for message in conversation.messages)
    if conversation.params == GenerationParams():
        chat.session.resume(conversation)
        return ntr(
            "loaded {n} turn from {path}", "loaded {n} turns from {path}", n, path=place(path)
        )
    chat.session.resume(conversation, params_of(conversation, chat.settings))
    return ntr(
        "loaded {n} turn from {path}, with its settings",
        "loaded {n} turns from {path}, with its settings",
        n,
        path=place(path),
    )


@command("[FILE|off]", words=lambda chat, typed: [("off", "")] if chat.attached else [])
def attach(chat: Chat, rest: str) -> str:
    """Send a text file with the next message, as `@FILE` in it does; `/attach off` sends none.

    Of a folder, or a pattern as `src/*.py`, the text files go, once the user agrees.
    """
    from glmcli.conversation import attachments
    from glmcli.conversation.several import find_several

    if rest == "off":
        chat.attached.clear()
    elif rest:
        path, (first, *words) = path_of(rest), rest.split(maxsplit=1)
        if words and not is_file(path) and is_file(path_of(first)):
            raise not_alone("attach", f"@{rest}")
        several = None if is_file(path) else find_several(rest)
        files = chat.agreed_files(several) if several else [attachments.read_attachment(path)]
        check_alone(chat, attachments.join_files("", files))
        chat.attached += [file for file in files if file not in chat.attached]
        if several and not files:
            return tr("nothing was attached")
        file = several.headline if several else chat.file_size(files[0])
        return tr("{file}: goes with the next message", file=file)
    waiting = "\n".join(map(attachments.heading, chat.attached))
    return waiting or tr("no file goes with the next message")


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
