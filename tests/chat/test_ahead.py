"""When a draft is read before it is sent."""

from __future__ import annotations

import pytest

from glmcli.chat.ahead import PAUSE_S, Ahead


class Desk:
    """An Ahead whose pauses end when the test says so."""

    def __init__(self, *, grows=lambda draft: True):
        self.warmed: list[str] = []
        self.cancels = []
        self.timers = []
        self.ahead = Ahead(self.warm, grows=grows, later=self.later)
        self.ahead.begin()

    def warm(self, draft, cancel):
        self.warmed.append(draft)
        self.cancels.append(cancel)

    def later(self, seconds, call):
        assert seconds == PAUSE_S
        self.timers.append(call)
        return lambda: self.timers.remove(call) if call in self.timers else None

    def pause(self):
        timers, self.timers = self.timers, []
        for call in timers:
            call()

    def type(self, *drafts):
        for draft in drafts:
            self.ahead.changed(draft)

    @property
    def is_reading(self):
        return not self.cancels[-1].is_set()


@pytest.fixture
def desk():
    return Desk()


def test_the_conversation_is_read_at_once_and_the_draft_after_a_pause(desk):
    assert desk.warmed == [""]
    desk.type("h", "he", "hello")
    assert desk.warmed == [""]
    assert desk.is_reading
    desk.pause()
    assert desk.warmed == ["", "hello"]
    assert desk.cancels[0].is_set()
    assert desk.is_reading


def test_a_draft_that_grows_is_read_on_and_one_that_changes_is_dropped_at_once(desk):
    desk.type("hello")
    desk.pause()
    desk.type("hello w")
    assert desk.is_reading
    desk.type("hell")
    assert not desk.is_reading
    desk.type("hello")
    desk.pause()
    assert desk.warmed == ["", "hello", "hello"]
    assert desk.is_reading


def test_a_paste_is_read_at_once(desk):
    desk.type("see [paste 1: 300 lines]")
    desk.ahead.changed("see [paste 1: 300 lines]", pasted=True)
    assert desk.warmed == ["", "see [paste 1: 300 lines]"]
    desk.pause()
    assert len(desk.warmed) == 2


def test_what_is_being_read_is_not_begun_again(desk):
    desk.type("hello")
    desk.pause()
    desk.type("hello!", "hello")
    desk.pause()
    assert desk.warmed == ["", "hello"]


def test_when_the_prompt_is_sent_nothing_goes_on_and_nothing_is_to_come(desk):
    desk.type("hello")
    desk.pause()
    desk.type("hello you")
    desk.ahead.drop()
    desk.pause()
    assert not desk.is_reading
    assert desk.warmed == ["", "hello"]


def test_an_empty_draft_is_the_conversation_again(desk):
    desk.type("hello")
    desk.pause()
    desk.type("")
    assert not desk.is_reading
    desk.pause()
    assert desk.warmed == ["", "hello", ""]


def test_a_draft_with_files_between_it_and_its_end_is_dropped_when_it_grows():
    desk = Desk(grows=lambda draft: "@" not in draft)
    desk.type("see @notes.txt")
    desk.pause()
    desk.type("see @notes.txt and")
    assert not desk.is_reading
