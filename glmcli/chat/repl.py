"""The loop: read a line, answer it, repeat; with an editor on a terminal, else from stdin.

Knows nothing of models. The main thread reads and paints; the engine has a thread of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from glmcli.chat.commands import COMMANDS, untyped
from glmcli.chat.completer import CommandCompleter
from glmcli.chat.pipe import PipeChat
from glmcli.chat.terminal import TerminalChat
from glmcli.config import DEMONSTRATION, Settings
from glmcli.conversation.typed import NOTHING, Line, foreign
from glmcli.engines.thread import EngineThread
from glmcli.language import tr
from glmcli.terminal.phrases import question_rows
from glmcli.terminal.reading import read_stdin

if TYPE_CHECKING:
    from glmcli.terminal.input.plain_prompt import PlainPrompt
    from glmcli.terminal.input.prompt import Prompt


def chat_in_pipe(chat: PipeChat, *, first: str | None = None, commands: bool = False) -> int:
    """Answer `first` and every line of stdin; returns the exit code of the last failure, or 0.

    Lines are commands, and attach files, only where they are typed or `commands` says so.
    """
    is_script = commands or (sys.stdin is not None and sys.stdin.isatty())
    is_told = False
    for number, line in lines_of_stdin(first, chat.session.is_stopped):
        text = Line(line) if is_script and number else foreign(line)
        if number and not is_told and untyped(text):
            is_told = True
            chat.note(f"line {number} was sent as text; --commands runs it")
        chat.handle(text)
        if chat.leaving or chat.session.is_stopped():
            break
        chat.session.rearm()
    return chat.exit_code


def lines_of_stdin(first: str | None, stopped: Callable[[], bool]) -> Iterator[tuple[int, str]]:
    """The first turn, if there is one, as line 0; the lines of stdin without their ends, until
    stopped.

    Raises UsageError.
    """
    if first is not None:
        yield 0, first
    held, is_open, number = b"", sys.stdin is not None, 0
    while is_open or held:
        line, end, rest = held.partition(b"\n")
        if end or not is_open:
            held, number = rest, number + 1
            yield (
                number,
                line.decode("utf-8", "surrogateescape").rstrip("\r").removeprefix("\ufeff"),
            )
            continue
        data = read_stdin(stopped)
        if stopped():
            return
        held += data
        is_open = bool(data)


def chat_in_terminal(chat: TerminalChat, *, first: str | None = None) -> None:
    """The REPL. Returns when the user leaves."""
    engine = chat.session.engine
    assert isinstance(engine, EngineThread)
    with chat.quiet:
        if first is not None:
            engine.start()
        prompt = open_prompt(chat, engine)
        if first is not None:
            chat.out.write(question_rows(first))
            chat.handle(foreign(first))
        while not chat.leaving:
            chat.session.rearm()
            chat.ahead.begin()
            draft, chat.draft = chat.draft, NOTHING
            try:
                line = prompt.read(draft)
            except EOFError:
                break
            finally:
                chat.ahead.drop()
            if word := untyped(line):
                chat.note(f"{word} was not typed, so it is sent as text; Ctrl-T: as if typed")
            chat.handle(line)


def open_prompt(chat: TerminalChat, engine: EngineThread) -> Prompt | PlainPrompt:
    """The line editor of a chat; the engine starts to load when it was drawn."""

    def begin() -> None:
        engine.start()
        chat.ahead.begin()

    if not chat.out.is_live:
        from glmcli.terminal.input.plain_prompt import PlainPrompt

        return PlainPrompt(chat.out, chat.quiet, chat.session, on_first_draw=engine.start)
    from glmcli.terminal.input.prompt import Prompt

    prompt = Prompt(
        chat.out,
        history=chat.settings.home / "prompt_history" if chat.settings.history else None,
        status=chat.status,
        on_first_draw=begin,
        edit=chat.edit_draft,
        completer=CommandCompleter(lambda name, typed: COMMANDS[name].words(chat, typed)),
        enter_sends=lambda: chat.enter_sends,
        on_interrupt=chat.session.stop,
        on_peek=lambda: chat.handle(Line("/thinking")),
        on_draft=lambda draft, pasted: chat.ahead.changed(draft, pasted=pasted),
        vi=chat.settings.vi,
    )
    chat.sent = prompt.sent
    chat.quiet.collect = prompt.collect
    chat.ask_ahead = prompt.ask
    engine.on_change = chat.redraw = prompt.redraw
    return prompt


def banner(settings: Settings, recovered: Sequence[str]) -> str:
    """What is said at the start: how to get help, what the model is, what had broken off."""
    lines = ["/help lists the commands, Ctrl-D leaves."]
    if "model" not in settings.sources:
        lines.append(tr(DEMONSTRATION))
    if recovered:
        lines.append(f"the last chat broke off: /resume {recovered[-1]} goes on with it.")
    return "\n".join(lines)
