"""Keys in the list of conversations, and what it shows; with a history as the chat has it."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager

import pyte
import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from glmcli.chat.listing import HistoryList
from glmcli.errors import StoreError
from glmcli.store import open_store
from glmcli.terminal.input.picking.picker import Picker
from glmcli.terminal.output import Output
from glmcli.types import Conversation, Message

UP, DOWN, DELETE, ESC, BACK = "\x1b[A", "\x1b[B", "\x1b[3~", "\x1b", "\x7f"
SAID = [
    ("sky", "why is it blue?", "short waves", "chat"),
    ("sea", "why is it green?", "plankton", "chat"),
    ("list", "ls with sizes?", "ls -lh", "ask"),
    ("evil\x1b[31m\u202e", "red\x1b]0;pwned\x07", "\x1b[2Jgone\tnow", "chat"),
]


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "home")
    told = [
        Conversation(
            title=title,
            messages=[Message("user", asked), Message("assistant", said, finish_reason="stop")],
            model="echo:",
            kind=kind,
            updated=1e9 - at,
        )
        for at, (title, asked, said, kind) in enumerate(SAID)
    ]
    opened.take_in(*told)
    yield opened
    opened.close()


@contextmanager
def picker(source, typed, columns=80, rows=20):
    drawn = io.StringIO()
    with create_pipe_input() as keys, open(os.devnull, "w") as nowhere:  # noqa: PTH123
        keys.send_text(typed)
        screen = Vt100_Output(drawn, lambda: Size(rows, columns), term="xterm")
        yield Picker(source, Output(nowhere), keys, screen), drawn


def pick(source, typed):
    with picker(source, typed) as (shown, _):
        picked = shown.run()
    return picked and picked.title


def screens(source, typed, columns=80, rows=20):
    """What was drawn before the list was left, as rows of the terminal."""
    with picker(source, typed, columns, rows) as (shown, drawn):
        shown.run()
    before, _, _ = drawn.getvalue().rpartition("\x1b[?1049l")
    screen = pyte.Screen(columns, rows + 1)  # leaving goes down one row more
    pyte.Stream(screen).feed(before.replace("\x1b[?1049h", ""))
    return [line.rstrip() for line in screen.display[:rows]]


@pytest.mark.parametrize(
    ("typed", "picked"),
    [
        ("\r", "sky"),
        (f"{DOWN}\r", "sea"),
        (f"{DOWN}{DOWN}{UP}\r", "sea"),
        (f"{UP}\r", "sky"),
        ("\x1b[F\x1b[H\x0e\r", "sea"),
        ("green\r", "sea"),
        ("gren" + BACK * 2 + "een\r", "sea"),
        ("nowhere\x15sea\r", "sea"),
        ("sea nowhere\x17\r", "sea"),
        ("\x1b[200~se\na\x1b[201~" + BACK * 2 + "\r", "sea"),
        ("plankton\r", "sea"),
        ("\tlist\r", "list"),
        ("sizes\t\r", "list"),
        (ESC, None),
        ("\x03", None),
        ("\x04", None),
        ("\x07", None),
        ("nowhere\r" + ESC, None),
    ],
)
def test_keys_choose_a_conversation_or_none(store, typed, picked):
    assert pick(HistoryList(store, "chat"), typed) == picked


def test_asks_are_not_among_chats_and_chats_not_among_asks(store):
    assert pick(HistoryList(store, "chat"), f"sizes\r{ESC}") is None
    assert pick(HistoryList(store, "ask"), "\r") == "list"
    assert pick(HistoryList(store, "ask"), "\t\r") == "list"  # it stays chosen
    assert pick(HistoryList(store, "ask"), f"\t{UP}\r") == "sea"


def test_the_one_that_is_open_is_not_listed(store):
    newest = store.list(1)[0].id
    assert pick(HistoryList(store, "chat", but=newest), "\r") == "sea"


def titles(store):
    return {each.title for each in store.list()}


@pytest.mark.parametrize("no", ["n", "N", "\r", ESC + UP, "\x03", "\x1b[200~y\x1b[201~n", "zn"])
def test_only_a_yes_deletes(store, no):
    stored = HistoryList(store, "chat")
    assert pick(stored, f"{DELETE}{no}\r") == "sky"
    assert (len(titles(store)), stored.farewell) == (4, "")


def test_a_deletion_says_how_it_is_taken_back(store):
    name = store.list(1)[0].id
    stored = HistoryList(store, "chat")
    shown = screens(stored, f"{DELETE}y{ESC}", columns=60)
    assert shown[-1] == f"deleted: glm history undelete {name} brings it back"
    assert not any("sky" in line for line in shown)
    assert stored.farewell.startswith(f"glm history undelete {name} takes that back for 30 days")
    assert "sky" not in titles(store)
    store.undelete(name)
    assert "sky" in titles(store)


def test_the_next_one_is_chosen_after_a_deletion(store):
    assert pick(HistoryList(store, "chat"), f"{DELETE}y\r") == "sea"
    left = HistoryList(store, "chat")
    assert pick(left, f"{DELETE}y{DELETE}y{DELETE}y{DELETE}y\r{DELETE}{ESC}") is None
    assert titles(store) == {"list"}  # an ask that was not shown


def test_a_deletion_that_fails_is_said_and_changes_nothing(store, tmp_path):
    off = open_store(tmp_path / "home", enabled=False)
    shown = screens(HistoryList(off, "chat"), f"{DELETE}y{ESC}")
    assert shown[-1] == "the history is switched off; set GLM_HISTORY=on"
    assert len(titles(store)) == 4


def test_it_shows_columns_a_preview_and_the_keys_at_sixty_columns(store):
    shown = screens(HistoryList(store, "chat"), ESC, columns=60, rows=16)
    assert shown[0] == ">   type to filter · 3"
    assert shown[1].split() == ["age", "turns", "model", "title", "first", "words"]
    assert shown[2].split()[3:] == ["1", "echo:", "sky", "why", "is", "it", "blue?"]
    assert shown[2].startswith("> ")
    at = next(at for at, line in enumerate(shown) if line.startswith("──"))
    assert store.list(1)[0].id in shown[at]
    assert shown[at + 1 : at + 3] == ["> why is it blue?", "  short waves"]
    assert shown[-1] == "Enter opens · Delete deletes · Tab: asks too · Esc leaves"


def test_nothing_that_is_stored_steers_the_terminal(store):
    with picker(HistoryList(store, "chat"), f"{DOWN}{DOWN}{DELETE}n{ESC}") as (shown, drawn):
        shown.run()
    sent = drawn.getvalue()
    assert "pwned" in sent and "gone" in sent
    for bad in ("\x1b[31m", "\x1b]0;", "\x1b[2Jgone", "\u202e"):
        assert bad not in sent


class Counted(HistoryList):
    """Counts what is read."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.read = []

    def first_words(self, name):
        self.read.append(name)
        return super().first_words(name)

    def last_words(self, name):
        self.read.append(name)
        return super().last_words(name)


def test_only_what_is_shown_is_read(store):
    many = [
        Conversation(messages=[Message("user", f"number {n}")], kind="chat", updated=2e9 + n)
        for n in range(200)
    ]
    store.take_in(*many)
    stored = Counted(store, "chat")
    shown = screens(stored, ESC, rows=20)
    assert "number 199" in shown[2]
    assert len(set(stored.read)) < 20


class Broken(HistoryList):
    """A history that cannot be read any more once the list is there."""

    def first_words(self, name):
        raise StoreError("the disk is gone", "look for it")

    last_words = search = first_words


def test_a_history_that_breaks_meanwhile_is_said(store):
    shown = screens(Broken(store, "chat"), f"sk{ESC}", columns=60)
    assert shown[-1] == "the disk is gone; look for it"
    assert pick(Broken(store, "chat"), "sea\r") == "sea"


@pytest.mark.parametrize(("columns", "rows"), [(20, 5), (30, 8), (60, 10), (200, 60)])
def test_a_window_of_any_size_shows_the_chosen_one(store, columns, rows):
    shown = screens(HistoryList(store, "chat"), f"{DOWN}{ESC}", columns, rows)
    assert any(line.startswith("> ") and "sea" in line for line in shown)
