"""Commands that write the conversation to a file, read one, or send a file with a message."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from glmcli.chat.commands.fitting import check_alone
from glmcli.chat.commands.history import params_of
from glmcli.chat.commands.lines import files_line, said_of
from glmcli.chat.commands.table import Chat, command, is_built_in
from glmcli.errors import UsageError
from glmcli.language import in_one_line, ntr, tr
from glmcli.paths import absolute, is_file, is_something, path_of
from glmcli.types import GenerationParams

LEAST_OF_ID = 4
_BLOCK_FILE = re.compile(r"(.*\S)\s+([0-9]{1,6})", re.DOTALL)
ENDS = {"json": "json", "jsonl": "jsonl", "md": "md", "markdown": "md", "txt": "md", "text": "md"}
"""Words for the form of a file -> the end of its name."""


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

    if rest.lstrip(".") in ENDS and not is_file(path_of(rest)):
        raise UsageError(
            tr("{word} is a form, not a file", word=rest),
            said_of(f"/save talk.{ENDS[rest.lstrip('.')]}"),
        )
    conversation = chat.session.conversation
    if not conversation.messages:
        raise UsageError(tr("there is nothing to save yet"), tr("ask something first"))
    path = path_of(rest) if rest else dated_file()
    plain = re.sub(r"^(?:as |to |>+ ?)|\s--?[a-z]+$", "", rest).strip()
    if plain != rest and not is_file(path):
        raise not_alone("save", f"/save {f'talk.{ENDS[plain]}' if plain in ENDS else plain}")
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
    return next(path for path in map(Path, names) if not is_something(path))


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
    if re.fullmatch("[0-9a-z]{1,8}", rest) and not is_file(path):
        line = f"/resume {rest}" if len(rest) >= LEAST_OF_ID else "/history"
        raise not_alone("load", line)
    text = tr("/load opens a stored chat; did you mean {line}?", line=f"/attach {rest}")
    conversation = replace(read(path, lambda _: text), id="")
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
            raise not_alone("attach", files_line(rest))
        several = None if is_file(path) else find_several(rest)
        files = chat.agreed_files(several) if several else [attachments.read_attachment(path)]
        check_alone(chat, attachments.join_files("", files))
        chat.attached += [file for file in files if file not in chat.attached]
        if several and not files:
            return tr("nothing was attached")
        file = several.headline if several else chat.file_size(files[0])
        return tr("{file}: goes with the next message", file=file)
    waiting = "\n".join(map(attachments.heading, chat.attached))
    nothing = tr("no file goes with the next message")
    return waiting or in_one_line(nothing, "" if rest else tr("/attach FILE adds one"))
