"""The line editor on a terminal that is read aloud: each character is written once, as it is typed.

Keys, pastes and what waits are those of `LineEditor`; only what it shows differs.
"""

from __future__ import annotations

from typing import Any, cast

from prompt_toolkit.application import Application
from prompt_toolkit.completion import Completion
from prompt_toolkit.key_binding import (
    KeyBindings,
    KeyBindingsBase,
    KeyPressEvent,
    merge_key_bindings,
)

from glmcli.conversation.typed import NOTHING, Line
from glmcli.language import tr
from glmcli.terminal.input import editing
from glmcli.terminal.input.prompt import LineEditor
from glmcli.terminal.phrases import question_rows
from glmcli.terminal.visible import visible_line


class SpokenEditor(LineEditor):
    """See `Editor`. No toolbar, no menu, no style; what these would say is said in words.

    A long draft goes on in the next row wherever the first one ends: to move the half of a word
    there it would be written twice.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        prompt, app = self._session, self._session.app
        prompt.message = question_rows("", in_words=True).removesuffix("\n")
        prompt.prompt_continuation = ""
        prompt.bottom_toolbar = prompt.auto_suggest = None
        prompt.complete_while_typing = False
        prompt.reserve_space_for_menu = 0
        app.before_render -= self._fit_rows
        app.before_render += self._keep_style
        app.renderer.erase = self._leave_rows  # type: ignore[method-assign]
        screen = cast(Any, app.output)
        screen.hide_cursor = screen.show_cursor = screen.reset_attributes = lambda: None
        screen.disable_autowrap = screen.enable_autowrap = lambda: None
        screen.set_attributes = lambda attrs, depth: None

    def read(self, draft: Line = NOTHING) -> Line:
        """See `LineEditor`; says so if what was typed during a reply is the draft."""
        self._keyboard.hold()
        self._settle_queue()
        if self._queue.is_draft and self._keyboard.waiting and not self._queue.has_failed:
            self._out.write(tr("what you typed is not sent yet:") + "\n")
        return super().read(draft)

    @property
    def can_pick(self) -> bool:
        """A list to move about in is nothing to be read aloud."""
        return False

    def redraw(self) -> None:
        """There is no toolbar."""

    def _show_sent(self, text: str) -> None:
        """It stays where it was typed."""

    def _leave_rows(self, leave_alternate_screen: bool = True) -> None:
        """Go on below the draft; prompt-toolkit would erase it here, to draw it again."""
        app = self._session.app
        self._keep_style(app)
        app.renderer.render(app, app.layout)  # what was typed last
        shown = app.renderer.last_rendered_screen
        if shown is not None:
            at = shown.get_cursor_position(app.layout.current_window).y
            rows = shown.data_buffer
            used = (y for y in rows if any(cell.char.strip() for cell in rows[y].values()))
            app.output.write_raw("\n" * (max([at, *used]) - at + 1))
            app.output.flush()
        app.renderer.reset(leave_alternate_screen=leave_alternate_screen)

    def _keep_style(self, app: Application[str]) -> None:
        """What is sent looks as it did: another style would have all of it drawn again."""
        app.exit_style = ""

    def _keys(self) -> KeyBindingsBase:
        """Tab names what could come."""
        keys = KeyBindings()
        keys.add("c-i")(self._complete)
        return merge_key_bindings([super()._keys(), keys])

    def _complete(self, event: KeyPressEvent) -> None:
        """Tab: what all completions share; then they are named."""

        def tell(found: list[Completion]) -> None:
            self._hint = [tr(", ").join(visible_line(each.display_text) for each in found)]
            self._tell(event)

        editing.complete(event, self._draft.insert_completion, tell)

    def _make_typed(self, event: KeyPressEvent) -> None:
        super()._make_typed(event)
        self._tell(event)

    def _interrupt(self, event: KeyPressEvent) -> None:
        self._hint = []
        super()._interrupt(event)
        self._tell(event)

    def _tell(self, event: KeyPressEvent) -> None:
        """Say what the toolbar would, once, on a row of its own."""
        words = "".join(self._hint[:1])
        if words and not event.app.is_done:
            self._in_terminal(lambda: self._out.write(f"{words}\n"))
