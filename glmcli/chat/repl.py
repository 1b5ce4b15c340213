"""The loop: read a line, answer it, repeat; with an editor on a terminal, else from stdin.

Knows nothing of models. The main thread reads and paints; the engine has a thread of its own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from glmcli.chat.commands import COMMANDS
from glmcli.chat.completer import CommandCompleter
from glmcli.chat.pipe import PipeChat
from glmcli.chat.terminal import TerminalChat
from glmcli.config import Settings, demonstration
from glmcli.conversation.lines import dropped, first_untyped, untyped
from glmcli.conversation.typed import Line, untyped_line
from glmcli.engines import state_of
from glmcli.errors import StoreError, UsageError
from glmcli.language import tr
from glmcli.paths import LARGEST_MESSAGE, check_apart
from glmcli.session import Session
from glmcli.terminal.asked import write_question
from glmcli.terminal.reading import check_size, read_stdin
from glmcli.types import is_answer


def chat_in_pipe(chat: PipeChat, *, first: str | None = None) -> int:
    """Answer `first` and every line of stdin; returns the exit code of the last failure, or 0.

    Lines are commands, and attach files, only where the session says so. Raises GlmError where no
    line came and the model cannot be opened, UsageError where replies would be lines.
    """
    if sys.stdin is not None:
        check_apart(sys.stdin.fileno(), chat.out.fd, "stdout")
    is_script, is_told, is_used = chat.session.commands, False, False
    for number, line in lines_of_stdin(first, chat.session.is_stopped):
        is_used = is_used or bool(line.strip())
        text = Line(line) if is_script and number else untyped_line(line)
        if number and not is_told and (word := first_untyped(text)):
            is_told = True
            chat.note(sent_as_text(number, word))
        chat.handle(text)
        if chat.leaving or chat.session.is_stopped():
            break
        chat.session.rearm()
    if not is_used and not chat.session.is_stopped():
        # nobody was asked, so nothing else would say that the model is wrong
        state_of(chat.session.engine).wait(math.inf, chat.session.cancel)
        if chat.attached:
            raise UsageError(
                tr("nothing was sent: no line came to send the files with"),
                tr('a question goes with them: glm chat -a FILE "QUESTION"'),
            )
    return chat.exit_code


def sent_as_text(number: int, word: str) -> str:
    """The note on a line of a pipe that would be a command, or attach a file, in a script."""
    if word.startswith("@"):
        return tr(
            "line {number} was sent as text, without the file {word}; --commands attaches it",
            number=number,
            word=word,
        )
    return tr("line {number} was sent as text; --commands runs it", number=number)


def lines_of_stdin(first: str | None, stopped: Callable[[], bool]) -> Iterator[tuple[int, str]]:
    """The first turn, if any, as line 0, then stdin's lines until stopped. Raises UsageError."""
    if first is not None:
        yield 0, first
    held, seen, is_open, number = bytearray(), 0, sys.stdin is not None, 0
    while is_open or held:
        end = held.find(b"\n", seen)
        if end < 0 and is_open:
            check_size(len(held), LARGEST_MESSAGE, tr("line {number} of stdin", number=number + 1))
            seen = len(held)
            data = read_stdin(stopped)
            if stopped():
                return
            held += data
            is_open = bool(data)
            continue
        end = len(held) if end < 0 else end
        line = held[:end].decode("utf-8", "surrogateescape").rstrip("\r").removeprefix("\ufeff")
        del held[: end + 1]
        seen, number = 0, number + 1
        yield number, line


def chat_in_terminal(chat: TerminalChat, *, first: str | None = None) -> None:
    """The REPL. Returns when the user leaves. A signal keeps what was typed: Up brings it back."""
    with chat.quiet, chat.keeping_unsent():
        if first is not None:
            state_of(chat.session.engine).start()
        chat.open_editor(CommandCompleter(lambda name, typed: COMMANDS[name].words(chat, typed)))
        if first is not None:
            chat.remember(first)
            write_question(chat.out, first)
            chat.handle(untyped_line(first))
        while not chat.leaving:
            try:
                line = chat.read()
            except EOFError:
                chat.leave()
                continue
            chat.note(not_typed(line))
            chat.handle(line)


def not_typed(line: Line) -> str:
    """The note on what would be a command, or attach a file, if it had been typed; or ""."""
    words = [*untyped(line), *(path.name for _, paths in dropped(line) for path in paths)]
    if not words:
        return ""
    if len(words) == 1:
        return tr(
            "{word} was not typed, so it is sent as text; Up, then Ctrl-T, sends it as typed",
            word=words[0],
        )
    return tr(
        "{word} and {n} more were not typed, so they are sent as text; Up, then Ctrl-T, sends "
        "them as typed",
        word=words[0],
        n=len(words) - 1,
    )


def parting_words(chat: TerminalChat, *, quiet: bool) -> str:
    """The line on leaving a chat: what is lost, which nothing hides, or how to come back."""
    if (problem := chat.session.journal.problem) and not chat.is_kept():
        return tr("the last turns were not saved: {problem}", problem=problem)
    return "" if quiet else way_back(chat.session)


def way_back(session: Session) -> str:
    """The line on leaving a chat: how to come back to it, or that it was deleted elsewhere.

    "" if nothing was answered or kept.
    """
    conversation, store = session.conversation, session.store
    if not (session.is_saved and conversation.id and any(map(is_answer, conversation.messages))):
        return ""
    resume = f"glm chat --resume {conversation.id}"
    with suppress(StoreError):
        try:
            store.find(conversation.id)
        except UsageError as exc:
            gone = tr("the conversation {id} was deleted elsewhere for good", id=conversation.id)
            is_back = any(each.id == conversation.id for each, _ in store.deleted())
            return tr("; ").join([exc.message, exc.hint]) if is_back else gone
        if [each.id for each in store.list(1, "chat")] == [conversation.id]:
            return tr("to come back: {last}, or {resume}", last="glm chat -c", resume=resume)
    return tr("to come back: {resume}", resume=resume)


def banner(settings: Settings, session: Session, *, has_keys: bool = True) -> str:
    """The lines at the start: how to get help, if the model is a demonstration, what broke off.

    `has_keys`: whether the terminal knows more keys than those that every terminal does.
    """
    lines = [tr("/help lists the commands, Ctrl-D leaves.")]
    with suppress(StoreError):
        if has_keys and not session.conversation.id and session.store.list(1, "chat"):
            lines = [tr("/help lists commands, Ctrl-G earlier chats, Ctrl-D leaves.")]
    lines += filter(None, [demonstration(settings)])
    broken = session.store.broken_off()
    if broken not in ("", session.conversation.id):
        lines.append(tr("the last chat broke off: /resume {id} goes on with it.", id=broken))
    return "\n".join(lines)
