"""Completion at the prompt: commands, words that may follow them, and paths.

Knows nothing of how the commands work. Only the names of commands are completed unasked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from glmcli.chat.commands import COMMANDS
from glmcli.conversation.attachments import PLAIN_PATH, mention_at_end
from glmcli.terminal.visible import visible_line

_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029]")
TAKES_MENTION, TAKES_PATH, TAKES_FOLDER = "@FILE", "FILE", "FOLDER"
"""Commands that say so in their usage get paths: the first behind `@` alone."""


class CommandCompleter(Completer):
    """Completes commands with their help lines, the words after them, and paths after `@` or so.

    `words` are those that may follow a command, given its name and the text typed so far; each
    with an explanation.
    """

    def __init__(self, words: Callable[[str, str], Iterable[tuple[str, str]]]) -> None:
        self._words = words
        self._paths = PathCompleter(expanduser=True)
        self._folders = PathCompleter(only_directories=True, expanduser=True)

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """Completions for the word before the cursor."""
        text = document.text_before_cursor
        word, space, rest = text.partition(" ")
        if text.startswith("/") and not space and "/" not in text[1:] and "\n" not in text:
            for name, item in sorted(COMMANDS.items()):
                if name.startswith(word[1:]):
                    yield Completion(f"/{name}", start_position=-len(word), display_meta=item.help)
        elif not event.completion_requested:
            return
        elif word.startswith("/") and word[1:] in COMMANDS:
            yield from self._paths_for(COMMANDS[word[1:]].usage, rest)
            for known, meta in self._words(word[1:], rest):
                if known.startswith(rest) and known != rest:
                    yield Completion(
                        known,
                        start_position=-len(rest),
                        display=visible_line(known),
                        display_meta=visible_line(meta),
                    )
        elif mention := mention_at_end(text):
            yield from self._mentions(mention[1])

    def _paths_for(self, usage: str, typed: str) -> Iterable[Completion]:
        """Paths where a command takes them; folders, which stand among names, once one begins."""
        if TAKES_MENTION in usage:
            if typed.startswith("@"):
                yield from self._after(typed[1:], self._paths)
        elif TAKES_PATH in usage:
            yield from self._after(typed, self._paths)
        elif TAKES_FOLDER in usage and ("/" in typed or typed[:1] in ("~", ".")):
            yield from self._after(typed, self._folders)

    def _after(self, typed: str, paths: PathCompleter) -> Iterable[Completion]:
        for path, display in self._found(typed, paths):
            yield Completion(path, start_position=-len(typed), display=display)

    def _mentions(self, typed: str) -> Iterable[Completion]:
        """Paths after `@`, between quotes if they have blanks."""
        start = typed.lstrip('"')
        for path, display in self._found(start, self._paths):
            if '"' in path:
                continue  # there is no way to type it
            end = "" if path.endswith("/") else '"'
            is_plain = PLAIN_PATH.fullmatch(path) and typed == start
            text = path if is_plain else f'"{path}{end}'
            yield Completion(text, start_position=-len(typed), display=display)

    def _found(self, start: str, paths: PathCompleter) -> Iterable[tuple[str, str]]:
        """Paths that begin so, and their names; those of folders end in a slash."""
        asked = CompleteEvent(completion_requested=True)
        for found in paths.get_completions(Document(start), asked):
            name = found.display_text
            if _CONTROL.search(name):
                continue  # it would not stay one word, or one line
            yield start + found.text + "/" * name.endswith("/"), visible_line(name)
