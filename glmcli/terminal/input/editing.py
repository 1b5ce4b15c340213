"""Keys that need only the draft: lines, completions, characters as people see them.

Knows nothing of the prompt around the draft.
"""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.completion import CompleteEvent, Completion, get_common_complete_suffix
from prompt_toolkit.key_binding import KeyPressEvent
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.keys import Keys
from prompt_toolkit.search import stop_search

Insert = Callable[[str], None]
"""Inserts a text into the draft, and knows where it comes from."""
LONGEST_CHARACTER = 64
"""Code points; no character as people see it has more."""


def send_draft(event: KeyPressEvent) -> None:
    """Send the draft, unless there is nothing in it."""
    if event.current_buffer.text.strip():
        event.current_buffer.validate_and_handle()


def takes_completion(event: KeyPressEvent) -> bool:
    """Take the chosen completion, if there is one."""
    state = event.current_buffer.complete_state
    if state is None or state.current_completion is None:
        return False
    event.current_buffer.apply_completion(state.current_completion)
    return True


def new_line(event: KeyPressEvent, insert: Insert) -> None:
    """Insert a line end, in place of a backslash before the cursor."""
    buffer = event.current_buffer
    if buffer.document.text_before_cursor.endswith("\\"):
        buffer.delete_before_cursor(1)
    insert("\n")


def complete(
    event: KeyPressEvent, insert: Insert, tell: Callable[[list[Completion]], None] | None = None
) -> None:
    """Tab: the next entry of the menu; a menu of one, or the only completion, is taken at once.

    The text that all completions share is inserted before the menu is shown, or `tell` is called.
    """
    buffer = event.current_buffer
    if buffer.complete_state and len(buffer.complete_state.completions) > 1:
        buffer.complete_next()
        return
    buffer.cancel_completion()
    asked = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, asked))
    if len(found) == 1:
        buffer.apply_completion(found[0])
        return
    if shared := get_common_complete_suffix(buffer.document, found):
        insert(shared)
    if tell:
        tell(found)
    else:
        buffer.start_completion()


def delete_before(event: KeyPressEvent) -> None:
    """Delete one character, as people see it, before the cursor: also an emoji of several parts."""
    buffer = event.current_buffer
    before = buffer.document.text_before_cursor[-LONGEST_CHARACTER:]
    parts = characters(before)[-event.arg :] if event.arg > 0 else []
    buffer.delete_before_cursor(sum(map(len, parts)))


def delete_under(event: KeyPressEvent) -> None:
    """Delete one character, as people see it, after the cursor."""
    buffer = event.current_buffer
    after = buffer.document.text_after_cursor[:LONGEST_CHARACTER]
    buffer.delete(sum(map(len, characters(after)[: event.arg])))


def characters(text: str) -> list[str]:
    """Characters as people see them."""
    if text.isascii():
        return list(text)
    from glmcli.terminal.rows import graphemes

    return [*graphemes(text)]


def is_alt_enter(event: KeyPressEvent) -> bool:
    """Whether an Enter came with this Escape, as Alt-Enter sends them; takes that Enter away."""
    waiting = event.app.key_processor.input_queue
    if not waiting or waiting[0].key != Keys.ControlM:
        return False
    waiting.popleft()
    return True


def leave_search(event: KeyPressEvent) -> None:
    """Go back from Ctrl-R to the draft, however far into the history the search went."""
    stop_search()
    buffer = event.app.current_buffer
    draft = len(buffer.history.get_strings())
    if buffer.working_index != draft:
        buffer.go_to_history(draft)


def leave_insert_mode(event: KeyPressEvent) -> None:
    """Do as Escape does in vi."""
    buffer, state = event.current_buffer, event.app.vi_state
    buffer.cancel_completion()
    if state.input_mode in (InputMode.INSERT, InputMode.REPLACE):
        buffer.cursor_position += buffer.document.get_cursor_left_position()
    state.input_mode = InputMode.NAVIGATION


def enter_insert_mode(event: KeyPressEvent) -> None:
    """Begin an empty draft as vi does here; without vi nothing changes."""
    event.app.vi_state.input_mode = InputMode.INSERT
