"""A text longer than the window, in parts: what is sent, counted, said, and raised on the way."""

from __future__ import annotations

import json
import re
from threading import Event

import httpx
import pytest

from glmcli.cli.asking.about import LongText
from glmcli.cli.asking.mapped import PartsEngine
from glmcli.engines.echo import EchoEngine, split_words
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.errors import ContextFull, EngineError, GlmError, NoText, ReplyTooLong
from glmcli.terminal.phrases import TimeLeft
from glmcli.types import Chunk, GenerationParams, Message, Progress, Usage
from tests.support import fake_openai, tiny_chat

QUESTION = "what is in it?"
TEXT = "\n\n".join(f"Paragraph {n} has eight words and no more." for n in range(120))
PARAMS = GenerationParams(temperature=0.0)


class Noting(EchoEngine):
    """Answers with the first words of the part, at most `words`, and remembers what it was sent."""

    def __init__(self, *, window: int = 200, words: int = 4, counts: bool = True, fault=None):
        super().__init__(context_tokens=window)
        self.words = words
        self.counts = counts
        self.fault = fault
        self.prompts: list[list[str]] = []
        self.limits: list[int | None] = []

    def count(self, messages, cancel=None, think=None):
        return super().count(messages) if self.counts else None

    def stream(self, messages, params, cancel):
        size = super().count(messages)
        if size + (params.max_tokens or 0) > self.context_tokens:
            raise ContextFull(size, self.context_tokens)
        self.prompts.append([each.text for each in messages])
        self.limits.append(params.max_tokens)
        if self.fault:
            self.fault(len(self.prompts))
        if cancel.is_set():
            yield Chunk(finish_reason="cancelled")
            return
        yield Chunk(progress=Progress("reading", size, size))
        words = split_words(messages[-1].text.split("\n\n")[2])[: self.words]
        yield Chunk("".join(words), tokens=len(words))
        yield Chunk(finish_reason="stop", usage=Usage(size, 0, len(words)))


def mapped(engine, text=TEXT, *, before=(), params=PARAMS, question=QUESTION, cancel=None):
    """The chunks of an answer in parts, and the engine that made it."""
    parts = PartsEngine(engine, LongText(question, text), None)
    sent = [*before, Message("user", question or "…")]
    return list(parts.stream(sent, params, cancel or Event())), parts


def sent_parts(engine):
    return [text[-1].split("of the text:\n\n")[1] for text in engine.prompts if "Part " in text[-1]]


def test_every_word_is_sent_once_with_the_question_and_what_is_before_it():
    engine = Noting()
    chunks, parts = mapped(engine, before=[Message("system", "Be kind.")])
    assert "".join(sent_parts(engine)) == TEXT
    assert all(prompt[0] == "Be kind." for prompt in engine.prompts)
    assert all(prompt[-1].startswith(f"{QUESTION}\n\n") for prompt in engine.prompts)
    assert parts.made.parts == len(sent_parts(engine)) > 3
    assert chunks[-1].finish_reason == "stop"


def test_prompts_differ_first_in_the_number_of_the_part():
    engine = Noting(words=1)
    mapped(engine)
    shared = f"{QUESTION}\n\nBe brief. Part "
    prompts = [prompt[-1] for prompt in engine.prompts if "Part " in prompt[-1]]
    assert all(prompt.startswith(f"{shared}{n} of ") for n, prompt in enumerate(prompts, 1))


def test_few_answers_are_combined_at_once_and_many_in_more_levels():
    few, many = Noting(window=400, words=2), Noting(words=12)
    _, at_once = mapped(few)
    assert at_once.made.levels == 2
    assert len(few.prompts) == at_once.made.parts + 1
    _, by_levels = mapped(many, TEXT * 3)
    assert by_levels.made.levels > 2
    assert many.limits[-1] is None
    assert all(limit and limit <= 25 for limit in many.limits[:-1])


def test_one_answer_that_a_server_refuses_is_sent_once():
    class Single(Noting):
        """Answers one part with text, the others with blanks, and takes no prompt of answers."""

        def stream(self, messages, params, cancel):
            if "Part " not in messages[-1].text:
                self.prompts.append(["refused"])
                assert len(self.prompts) < 1000, "it goes on without end"
                raise ContextFull(1, 1)
            self.words = 4 if not self.prompts else 0
            yield from super().stream(messages, params, cancel)

    engine = Single(counts=False)
    with pytest.raises(GlmError, match="window has become smaller") as caught:
        mapped(engine)
    assert caught.value.exit_code == ContextFull.exit_code
    assert engine.prompts.count(["refused"]) <= 2


def test_the_last_answer_has_the_limit_and_the_stops_that_were_set():
    engine = Noting()
    mapped(engine, params=GenerationParams(max_tokens=30, stop=("x",)))
    assert engine.limits[-1] == 30
    assert all(limit and limit < 30 for limit in engine.limits[:-1])


def test_it_is_said_how_the_answer_was_made():
    chunks, parts = mapped(Noting())
    notices = [chunk.notice for chunk in chunks if chunk.notice]
    made = parts.made
    assert notices == [
        f"longer than the window: made from {made.parts} parts in {made.levels} levels"
    ]
    assert made.fields()["prompt_tokens"] == made.totals.prompt_tokens > 960


def test_progress_names_the_part_and_grows():
    chunks, parts = mapped(Noting())
    told = [chunk.progress for chunk in chunks if chunk.progress and chunk.progress.total]
    told = [each for each in told if each.note.startswith("part ")]
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert told[0].note == f"part 1 of {parts.made.parts}"
    assert told[-1].note == f"part {parts.made.parts} of {parts.made.parts}, 4 tokens"
    assert 0.6 < told[-1].done / told[-1].total < 1


def test_reading_and_writing_move_within_the_first_part_and_are_measured():
    class Slow(Noting):
        """Reads in two steps, and writes a word at a time."""

        def stream(self, messages, params, cancel):
            size = EchoEngine.count(self, messages)
            yield Chunk(progress=Progress("reading", size // 2, size))
            for _ in range(12):
                cancel.wait(0.1)
                yield Chunk("word ", tokens=1)
            cancel.set()
            yield Chunk(finish_reason="cancelled")

    chunks, parts = mapped(Slow(window=400))
    first = [each.progress for each in chunks if each.progress and each.progress.total]
    assert first[0].note == f"part 1 of {parts.made.parts}"
    assert re.fullmatch(r"part 1 of \d, reading \d+ of \d+ tokens", first[1].note)
    assert first[-1].note.endswith(", 12 tokens")
    grown = [each.done for each in first]
    assert grown == sorted(grown)
    share = grown[-1] / (len(TEXT) / parts.made.parts)
    assert 0.15 < share < 0.6  # 12 of 50 tokens, in parts of different lengths
    time_left = TimeLeft()
    assert time_left.at(first[0], 0.0) is None
    assert time_left.at(first[-1], 1.2) is not None


def test_what_the_answer_is_being_made_of_comes_as_a_draft():
    chunks, parts = mapped(Noting(window=400, words=2))
    draft = "".join(chunk.draft for chunk in chunks)
    words = [f"Part {n} of {parts.made.parts}:" for n in range(1, parts.made.parts + 1)]
    assert [line for line in draft.splitlines() if line.startswith("Part ")] == words
    assert draft.startswith(f"{words[0]}\n\nParagraph 0 ")
    assert draft.endswith("\n\nAll parts combined:")


def test_the_time_that_is_left_is_measured_by_whole_parts():
    chunks, _ = mapped(Noting())
    time_left, seen = TimeLeft(), dict[str, list[float | None]]()
    told = [chunk.progress for chunk in chunks if chunk.progress and chunk.progress.total]
    for second, each in enumerate(told):
        seen.setdefault(each.note.split(",")[0], []).append(time_left.at(each, float(second)))
    each_takes, parts_left = len(seen["part 1 of 7"]), 7  # of which one is to combine them
    assert set(seen["part 1 of 7"]) == {None}
    assert seen["part 2 of 7"][0] == pytest.approx(each_takes * parts_left, rel=0.2)


@pytest.mark.parametrize("counts", [True, False])
def test_what_is_refused_is_cut_again(counts):
    engine = Noting(window=200, counts=counts)
    text = "a b c d e f " * 400  # far more tokens than an estimate by bytes says
    chunks, parts = mapped(engine, text)
    assert "".join(sent_parts(engine)) == text
    assert parts.made.parts == len(sent_parts(engine))
    estimated = "the model does not count tokens: the text was cut by an estimate"
    assert (estimated in [chunk.notice for chunk in chunks]) is not counts


def test_a_window_that_a_refusal_names_is_the_one_that_all_other_parts_are_cut_for():
    refused = []

    class Claiming(Noting):
        context_tokens = 1000

        def stream(self, messages, params, cancel):
            size = EchoEngine.count(self, messages)
            if size + (params.max_tokens or 0) > 300:
                refused.append(size)
                raise ContextFull(size, 300)
            yield from super().stream(messages, params, cancel)

    engine = Claiming(window=1000)
    chunks, _ = mapped(engine, 8 * TEXT)
    assert chunks[-1].finish_reason == "stop"
    assert "".join(sent_parts(engine)) == 8 * TEXT
    assert len(refused) == 1


def test_answers_that_no_longer_fit_a_window_that_shrank_are_combined_in_more_levels():
    brief = GenerationParams(temperature=0.0, max_tokens=8)
    _, before = mapped(Noting(words=6), 2 * TEXT, params=brief)
    engine = Noting(words=6)
    smaller = {before.made.parts: 80}
    engine.fault = lambda n: setattr(
        engine, "context_tokens", smaller.get(n, engine.context_tokens)
    )
    chunks, parts = mapped(engine, 2 * TEXT, params=brief)
    assert chunks[-1].finish_reason == "stop"
    assert parts.made.levels > before.made.levels


def test_a_window_that_became_too_small_is_named_with_what_helps():
    engine = Noting()
    engine.fault = lambda n: setattr(engine, "context_tokens", 30)
    with pytest.raises(GlmError) as caught:
        mapped(engine)
    assert caught.value.exit_code == ContextFull.exit_code
    assert "it holds 30 tokens" in caught.value.message
    assert caught.value.hint.startswith("the window is too small for that")


def test_a_window_that_shrank_but_is_large_enough_can_be_set():
    engine = Noting(window=1000)

    def refuse(number):
        raise ContextFull(5000, 160)

    engine.fault = refuse
    with pytest.raises(GlmError, match="it holds 160 tokens") as caught:
        mapped(engine)
    assert caught.value.hint == "--window 160 cuts the text for that"
    assert mapped(Noting(window=160))[0][-1].finish_reason == "stop"


def test_a_window_below_the_room_for_our_own_answers_blames_no_option():
    """The number of tokens of an answer to a part is a guess of this program's."""
    windows = []

    def chat(request):
        windows.append(max(200, windows[-1] // 2) if windows else 3000)
        line = f"This model's maximum context length is {windows[-1]} tokens. However, your"
        line = f"{line} messages resulted in 400000 tokens."
        return httpx.Response(400, json={"error": {"message": line}})

    models = httpx.Response(200, json={"data": [{"id": "m", "max_model_len": 3000}]})
    engine = fake_openai.opened(fake_openai.serving(models=models, chat=chat))
    with pytest.raises(GlmError, match="it holds 200 tokens") as caught:
        mapped(engine, "word " * 8000)
    assert caught.value.exit_code == ContextFull.exit_code
    assert "--max-tokens" not in caught.value.message + caught.value.hint


def test_less_is_asked_for_where_an_answer_was_to_be_longer_than_the_window():
    limits = []

    class Shrunk(Noting):
        def stream(self, messages, params, cancel):
            if params.max_tokens and params.max_tokens > 40:
                limits.append(params.max_tokens)
                error = ReplyTooLong("--max-tokens is more than the model can answer")
                error.most = 320
                raise error
            yield from super().stream(messages, params, cancel)

    chunks, _ = mapped(Shrunk(window=1000), TEXT)
    assert chunks[-1].finish_reason == "stop"
    assert limits == [125]


def test_an_error_says_in_which_part_it_happened():
    def fault(number):
        if number == 3:
            raise EngineError("the model fell over", "pick it up")

    engine = Noting(fault=fault)
    with pytest.raises(EngineError, match=r"^part 3 of \d+: the model fell over$") as caught:
        mapped(engine)
    assert caught.value.hint == "pick it up"
    assert caught.value.message == str(caught.value)


@pytest.mark.parametrize("at", [1, 3])
def test_a_stop_ends_the_part_and_all_that_would_follow(at):
    cancel = Event()

    def fault(number):
        if number == at:
            cancel.set()

    engine = Noting(fault=fault)
    chunks, _ = mapped(engine, cancel=cancel)
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["cancelled"]
    assert len(engine.prompts) == at
    assert not any(chunk.notice for chunk in chunks)


def test_a_stop_while_the_text_is_cut_sends_nothing():
    cancel = Event()
    cancel.set()
    engine = Noting()
    chunks, _ = mapped(engine, cancel=cancel)
    assert chunks[-1].finish_reason == "cancelled"
    assert engine.prompts == []


def test_a_question_that_leaves_no_room_is_refused_before_anything_is_read():
    engine = Noting()
    with pytest.raises(GlmError, match="no room for answers") as caught:
        mapped(engine, question="why " * 100)
    assert caught.value.exit_code == ContextFull.exit_code
    assert engine.prompts == []


KIND = (Message("system", "be kind"),)
SYSTEM = (Message("system", "be kind " * 120),)


@pytest.mark.parametrize(
    ("before", "question", "most", "hint"),
    [
        ((), "why " * 200, None, "shorten the question"),
        (KIND, "why " * 200, None, "shorten the question or the system prompt"),
        ((), "why " * 50, 90, "shorten the question, or set --max-tokens to less"),
        (SYSTEM, "why?", None, "the system prompt alone fills the window: give a shorter one"),
        (SYSTEM, "why?", 5, "the system prompt alone fills the window: give a shorter one"),
        ((), "why?", 190, "set --max-tokens to less, or leave it out"),
    ],
)
def test_where_nothing_fits_the_hint_names_what_would_help(before, question, most, hint):
    with pytest.raises(GlmError, match="no room for answers") as caught:
        mapped(Noting(), question=question, before=before, params=GenerationParams(max_tokens=most))
    assert caught.value.hint == hint


def test_a_window_that_is_too_small_for_any_question_is_blamed_and_the_one_that_does_is_named():
    with pytest.raises(GlmError, match="no room for answers") as caught:
        mapped(Noting(window=60), question="sum up")
    least = int(re.search("[0-9]+", caught.value.hint)[0])
    assert "--max-tokens" not in caught.value.hint
    assert "shorten" not in caught.value.hint
    assert mapped(Noting(window=least), question="sum up")[0][-1].finish_reason == "stop"


def test_turns_that_leave_no_room_are_named():
    turns = [Message("user", "hi"), Message("assistant", "word " * 150)]
    with pytest.raises(GlmError, match="no room for answers") as caught:
        mapped(Noting(), before=turns)
    assert "leave out -c, --resume and --messages" in caught.value.hint


def test_a_text_to_which_no_part_has_an_answer_has_none():
    with pytest.raises(NoText, match="answered no part"):
        mapped(Noting(words=0))


def test_the_shared_beginning_is_read_once():
    engine = LocalEngine("tiny", model_of(tiny_chat.NET), tiny_chat.TEMPLATE, context_tokens=512)
    question = "What is the capital of France?"
    usages = []

    class Watched(EchoEngine):
        def count(self, messages, cancel=None, think=None):
            return engine.count(messages, cancel)

        def stream(self, messages, params, cancel):
            for chunk in engine.stream(messages, params, cancel):
                usages.append(chunk.usage)
                yield chunk

    shared = engine.count([Message("user", question)])
    mapped(Watched(context_tokens=512), "Paris is a town. " * 70, question=question)
    used = [usage for usage in usages if usage]
    assert len(used) > 3
    # The end of a turn in the template comes behind what is shared.
    assert all(usage.cached_tokens >= shared - 8 for usage in used[1:])


def test_a_server_that_only_refuses_is_asked_in_parts_that_it_takes():
    read = []

    def chat(request):
        body = json.loads(request.content)
        text = body["messages"][-1]["content"]
        size = len(text) // 2  # more tokens than an estimate takes it for
        if size + body.get("max_tokens", 0) > 1000:
            line = f"This model's maximum context length is 1000 tokens. However, you have {size}"
            return httpx.Response(400, json={"error": {"message": line}})
        read.append(text)
        ending = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        return fake_openai.events(fake_openai.delta("noted"), ending)(request)

    models = httpx.Response(200, json={"data": [{"id": "m"}]})
    engine = fake_openai.opened(fake_openai.serving(models=models, chat=chat))
    with pytest.raises(ContextFull) as caught:
        list(engine.stream([Message("user", TEXT)], PARAMS, Event()))
    parts = PartsEngine(engine, LongText(QUESTION, TEXT), caught.value.limit)
    chunks = list(parts.stream([Message("user", QUESTION)], PARAMS, Event()))
    assert "".join(chunk.text for chunk in chunks) == "noted"
    of_text = [text.split("of the text:\n\n")[1] for text in read if "Part " in text]
    assert "".join(of_text) == TEXT
    assert parts.made.parts == len(of_text) > 2
    assert any("does not count tokens" in chunk.notice for chunk in chunks)
