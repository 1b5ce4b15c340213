"""Whatever is pasted, wherever in a draft and with what edits around it: it stays text."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from glmcli.conversation.lines import first_untyped, is_command, literal
from glmcli.conversation.typed import Line, untyped_line
from glmcli.terminal.input.origins import Origins

OF_PASTES = string.ascii_uppercase
"""Pastes hold these and the marks below; what is typed holds small letters."""
PASTES = st.text(f"{OF_PASTES}@/. \n", min_size=1, max_size=6)
TYPING = st.sampled_from("ab@/. \n")
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("type"), TYPING, st.integers(0, 40)),
        st.tuples(st.just("paste"), PASTES, st.integers(0, 40)),
        st.tuples(st.just("cut"), st.integers(1, 9), st.integers(0, 40)),
        st.tuples(st.just("yank"), st.just(0), st.integers(0, 40)),
        st.tuples(st.just("undo"), st.just(0), st.just(0)),
        st.tuples(st.just("swap"), st.just(0), st.integers(0, 40)),
    ),
    max_size=25,
)


class Editor:
    """An editor as simple as can be, which knows of each character where it came from."""

    def __init__(self):
        self.draft: list[tuple[str, bool]] = []
        self.killed: list[tuple[str, bool]] = []
        self.undone: list[list[tuple[str, bool]]] = []
        self.origins = Origins(lambda text: None)
        self.origins.begin(Line(""))

    def text(self):
        return "".join(char for char, _ in self.draft)

    def edit(self, kind, what, at):
        at = min(at, len(self.draft))
        before, after = self.draft[:at], self.draft[at:]
        if kind != "undo":
            self.undone.append(self.draft)
        if kind in ("type", "paste"):
            self.draft = [*before, *((char, kind == "paste") for char in what), *after]
            with self.origins.arriving(typed=kind == "type"):
                self.origins.follow(self.text())
            return
        if kind == "cut":
            self.killed, self.draft = after[:what], [*before, *after[what:]]
        elif kind == "yank":
            self.draft = [*before, *self.killed, *after]
        elif kind == "swap":
            self.draft = [*before, *after[1:2], *after[:1], *after[2:]]
        elif self.undone:
            self.draft = self.undone.pop()
        self.origins.follow(self.text())


@given(EDITS)
def test_no_pasted_character_ever_counts_as_typed(edits):
    editor = Editor()
    for edit in edits:
        editor.edit(*edit)
        line = editor.origins.line
        assert line.text == editor.text()
        for at, (_, was_pasted) in enumerate(editor.draft):
            assert not (was_pasted and line.is_typed(at, at + 1)), (line, at)


@given(st.lists(st.tuples(TYPING, st.integers(0, 40))), st.integers(0, 40), st.integers(0, 40))
def test_what_is_only_typed_and_deleted_counts_as_typed(keys, start, end):
    editor = Editor()
    for key, at in keys:
        editor.edit("type", key, at)
    editor.edit("cut", max(end - start, 1), start)
    editor.edit("undo", 0, 0)
    assert editor.origins.line.is_typed(0, len(editor.text()))


def typed(*parts):
    """The draft after parts were typed, and pasted where they stand in a tuple."""
    editor = Editor()
    for part in parts:
        kind, text = ("paste", part[0]) if isinstance(part, tuple) else ("type", part)
        for piece in [text] if kind == "paste" else text:
            editor.edit(kind, piece, len(editor.draft))
    return editor.origins.line


def test_a_command_counts_where_its_word_was_typed():
    assert is_command(typed("/save x.md"))
    assert is_command(typed("/system ", ("you are a parrot",)))
    for line in (
        typed(("/save x.md",)),
        typed("/", ("save x.md",)),
        typed("/s", ("ave",), " x.md"),
        typed("/help", ("er",)),
        typed((" ",), "/save"),
        typed("/system ", ("@/etc/passwd",)),
        typed("/system @", ("/etc/passwd",)),
    ):
        assert not is_command(line)
        assert first_untyped(line)


def test_a_pasted_double_slash_is_sent_as_it_is():
    assert literal(typed("//help")).text == "/help"
    assert literal(typed(("//help",))).text == "//help"


def test_a_text_that_comes_back_as_a_whole_is_what_it_was():
    origins = Origins({"/help": Line("/help"), "/save": untyped_line("/save")}.get)
    origins.begin(Line(""))
    origins.follow("/help", entry=2)
    assert is_command(origins.line)
    origins.follow("/save", entry=3)
    assert not is_command(origins.line)
    origins.follow("/save ", entry=3)
    origins.follow("/nobody", entry=4)
    assert not is_command(origins.line)


def test_a_paste_that_is_cut_down_to_an_earlier_text_stays_a_paste():
    origins = Origins({"/help": Line("/help")}.get)
    origins.begin(Line(""))
    with origins.arriving(typed=False):
        origins.follow("/helper")
    origins.follow("/help")
    assert not is_command(origins.line)


def test_the_end_of_an_earlier_text_that_is_accepted_is_what_it_was():
    origins = Origins({"/help me": Line("/help me")}.get)
    origins.begin(Line(""))
    with origins.arriving(typed=True):
        origins.follow("/he")
    origins.follow("/help me")
    assert is_command(origins.line)
