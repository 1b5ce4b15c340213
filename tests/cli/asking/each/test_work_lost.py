"""Lines to one engine: what becomes of them where its process ends."""

from __future__ import annotations

import threading
from contextlib import closing

from glmcli.cli.asking.each.tasks import Task
from glmcli.cli.asking.each.work import Together
from glmcli.engines.echo import EchoEngine
from glmcli.engines.thread import EngineThread
from glmcli.errors import ConnectionLost, EngineError
from glmcli.types import Chunk, GenerationParams, Message, Progress


class Mortal(EchoEngine):
    """An engine whose process ends in the middle of a batch in which a text is asked for.

    It begins `at_once` of them, and none is answered by then.
    """

    def __init__(self, deadly: str, deaths: int = 99, at_once: int = 99) -> None:
        super().__init__()
        self.deadly, self.deaths, self.at_once = deadly, deaths, at_once
        self.asked: list[list[str]] = []

    def batch(self, prompts, cancel):
        texts = [messages[-1].text for messages, _ in prompts]
        self.asked.append(texts)
        dies = self.deadly in texts and self.deaths > 0
        self.deaths -= dies
        for index, text in enumerate(texts[: self.at_once] if dies else texts):
            yield index, Chunk(text[:2] if dies else text)
        for index in range(len(texts)):
            yield index, ConnectionLost("gone", again=True) if dies else Chunk(finish_reason="stop")


class Lines:
    def __init__(self, *texts: str) -> None:
        self._left = [
            (n, Task(n, n + 1, [Message("user", text)], GenerationParams()))
            for n, text in enumerate(texts)
        ]

    def take(self, *, wait):
        return self._left.pop(0) if self._left else None


class MortalInTurn(EchoEngine):
    """The same of an engine that answers one after the other, for a single time."""

    def __init__(self, deadly: str) -> None:
        super().__init__()
        self.deadly = deadly

    def stream(self, messages, params, cancel):
        if messages[-1].text == self.deadly:
            self.deadly = ""
            yield Chunk("be")
            raise ConnectionLost("gone", again=True)
        yield from super().stream(messages, params, cancel)


def answers(engine, *texts):
    """What becomes of the lines, in the order in which they end."""
    thread = EngineThread("test", lambda report: engine)
    try:
        found = {
            news.place: news.answer
            for news in Together(thread, threading.Event()).news(Lines(*texts))
            if news.place is not None
        }
    finally:
        thread.close()
    assert sorted(found) == [*range(len(texts))]
    return [*found.values()]


def test_until_the_model_is_open_it_is_waited_for_and_no_line_counted_as_begun():
    is_seen = threading.Event()

    def open_it(report):
        is_seen.wait(10)
        return EchoEngine()

    thread = EngineThread("test", open_it)
    news = Together(thread, threading.Event()).news(Lines("one"))
    with closing(thread):
        assert next(news).progress == Progress("waiting")
        is_seen.set()
        (last,) = [each.answer for each in news if each.place is not None]
    assert last.reply.text == "one"


def test_lines_that_had_begun_when_a_process_ended_are_asked_again_from_the_start():
    engine = Mortal("two", deaths=1)
    found = answers(engine, "one", "two", "three")
    assert [each.reply.text for each in found] == ["one", "two", "three"]
    assert [each.error for each in found] == [None] * 3
    assert engine.asked == [["one", "two", "three"]] * 2


def test_a_line_that_ends_its_process_is_an_error_and_takes_no_other_with_it():
    engine = Mortal("two")
    found = answers(engine, "one", "two", "three")
    assert [each.error and each.error.exit_code for each in found] == [None, 6, None]
    assert found[2].reply.text == "three"
    assert engine.asked[-3:] == [["one"], ["two"], ["three"]]
    assert len(engine.asked) == 5


def test_a_line_that_was_lost_does_not_wait_for_those_behind_it():
    found = answers(MortalInTurn("two"), "one", "two", "three", "four")
    assert [each.reply.text for each in found] == ["one", "two", "three", "four"]


def test_lines_that_had_not_begun_when_a_process_ended_are_not_to_blame():
    engine = Mortal("two", at_once=2)
    found = answers(engine, "one", "two", "three", "four")
    assert [each.error and each.error.exit_code for each in found] == [None, 6, None, None]
    assert [each.line for each in found] == [1, 2, 3, 4]
    assert engine.asked[2:] == [["one"], ["two"], ["three", "four"]]


class Failing(EchoEngine):
    """An engine that begins a line, fails at ten others, and would fail at all that come."""

    def batch(self, prompts, cancel):
        yield 0, Chunk("half ")
        yield from ((index, EngineError("broken")) for index in range(1, 11))
        yield 0, Chunk("whole", finish_reason="stop")
        yield from ((index, EngineError("broken")) for index in range(11, len(prompts)))


def test_a_line_that_has_begun_is_waited_for_where_no_more_are_asked():
    thread = EngineThread("test", lambda report: Failing())
    way = Together(thread, threading.Event())
    found = {}
    with closing(thread):
        for news in way.news(Lines(*["text"] * 300)):
            if news.answer is not None:
                found[news.place] = news.answer.reply and news.answer.reply.text
            if len(found) == 10:
                way.finish()
    assert found == {0: "half whole"} | dict.fromkeys(range(1, 11))
