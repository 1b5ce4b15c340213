"""Several streams of one model at once: each says what it would say alone."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from threading import Event

import pytest
import torch

from glmcli.engines import Shares
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.fused.decoder import FusedNet
from glmcli.engines.local.net.fused.open import open_fused
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.engines.thread import EngineThread
from glmcli.errors import ContextFull, OutOfMemory
from glmcli.types import GenerationParams, Message
from tests.support.nets import SLOT, opened, saved
from tests.support.tiny_chat import LONG, NET, TEMPLATE, ask, text_of, user

MOST = 8
"""Replies that are compared in each way."""
SEEDED = {"temperature": 1.0, "seed": 3}
WAYS = {
    "greedy": ({}, {"temperature": 0.0}, False),
    "seeded": ({}, SEEDED, False),
    "penalty": ({}, {**SEEDED, "repetition_penalty": 1.3, "top_k": 20}, False),
    "int8": ({"quantize": "int8"}, {"temperature": 0.0}, False),
    "guesses": ({}, {"temperature": 0.0}, True),
    "seeded guesses": ({}, SEEDED, True),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The nets of one checkpoint, opened once for each way."""
    folder = tmp_path_factory.mktemp("net")
    saved("llama", folder / "net")
    nets = {}

    def load(**options):
        key = str(options)
        if key not in nets:
            checkpoint, found = opened(folder / "net", folder, **options)
            nets[key] = open_fused(checkpoint, found, lambda progress: None)
        return nets[key]

    return load


def engine_over(model, *, speculate=False):
    """An engine that has read nothing, over the same weights."""
    fresh = FusedNet(model.reader.plan, model.reader.weights)
    return LocalEngine(
        "tiny",
        replace(model, reader=fresh),
        TEMPLATE,
        context_tokens=1024,
        threads=1,
        speculate=speculate,
    )


def shared(model, limit, **options):
    engine = engine_over(model, **options)
    engine.share(limit)
    return engine


class Stream:
    """One that is being made, and what is wanted of it."""

    def __init__(self, engine, messages, params, *, private):
        self.cancel = Event()
        self.messages, self.params = messages, GenerationParams(max_tokens=14, **params)
        make = engine.stream_privately if private else engine.stream
        self.steps = make(messages, self.params, self.cancel)
        self.text, self.end = "", None

    def step(self):
        chunk = next(self.steps)
        self.text += chunk.text
        self.end = chunk.finish_reason
        return self.end is None


def some_prompt(dice, talks):
    """A new conversation, one that begins like another, or the next question of one."""
    texts = list(dice.choice(talks)) if talks and dice.random() < 0.75 else []
    if texts and dice.random() < 0.4:
        texts = texts[: 2 * dice.randrange(1 + len(texts) // 2)]
    beginning = dice.choice(["hello", LONG[: dice.randrange(40, 500)], "the quick brown fox"])
    return [*texts, f"{beginning} {dice.randrange(6)}"]


@pytest.mark.parametrize(
    ("way", "limit"), [*((way, 3 * SLOT) for way in WAYS), ("greedy", 40 * SLOT)]
)
def test_whatever_was_interleaved_forked_forgotten_or_cancelled(way, limit, loaded):
    options, params, speculate = WAYS[way]
    model = loaded(**options)
    engine = shared(model, limit, speculate=speculate)
    dice = random.Random(f"{way} {limit}")
    talks, streams, checked, cached = [], [], 0, 0
    while checked < MOST or streams:
        if checked < MOST and len(streams) < engine.at_once and dice.random() < 0.2:
            messages = user(*some_prompt(dice, talks))
            private = dice.random() < 0.2
            streams.append(Stream(engine, messages, params, private=private))
        if not streams:
            continue
        stream = dice.choice(streams)
        what = dice.random()
        if what < 0.01:
            stream.cancel.set()
        if what > 0.995:
            stream.steps.close()
            streams.remove(stream)
        elif not stream.step():
            streams.remove(stream)
            with closing(engine_over(model, speculate=speculate)) as alone:
                expected = text_of(alone.stream(stream.messages, stream.params, Event()))
            whole = stream.end != "cancelled"
            assert (stream.text if whole else expected[: len(stream.text)]) == (
                expected if whole else stream.text
            )
            checked += whole
            talks.append([*(item.text for item in stream.messages), stream.text])
    used = [ask(engine, user(*talk, "and now"), **params)[-1].usage for talk in talks[-3:]]
    cached = sum(usage.cached_tokens for usage in used)
    assert cached > 0
    assert sum(engine.slots) > 0
    assert engine.slot_bytes <= max(limit, 4 * SLOT)  # the last one may be longer than all may be


def test_conversations_in_turn_are_each_read_once(loaded):
    engine = shared(loaded(), 40 * SLOT)
    talks = {name: [f"{name} {LONG[:200]}"] for name in ("a", "b", "c")}
    before = {}
    for turn in range(4):
        for name, texts in talks.items():
            chunks = ask(engine, user(*texts))
            usage = chunks[-1].usage
            if turn:
                assert usage.cached_tokens >= before[name]
            before[name] = usage.prompt_tokens
            texts += [text_of(chunks), f"question {turn}"]
    assert len(engine.slots) == 3
    assert "3 conversations kept" in engine.details


def test_a_shared_engine_is_one_for_others(loaded):
    engine = shared(loaded(), None)
    assert isinstance(engine, Shares)
    assert engine.at_once > 1
    assert engine.slot_limit > 0


def test_a_net_of_transformers_is_asked_by_one_at_a_time():
    engine = LocalEngine("tiny", model_of(NET), TEMPLATE, context_tokens=1024)
    engine.share(None)
    assert isinstance(engine, Shares)
    assert (engine.at_once, engine.slot_limit) == (1, None)


def test_of_a_private_question_nothing_is_left(loaded):
    for engine in (engine_over(loaded()), shared(loaded(), 40 * SLOT)):
        secret = user(f"my secret {LONG[:300]}")
        reply = text_of(engine.stream_privately(secret, GenerationParams(max_tokens=9), Event()))
        assert reply == text_of(ask(engine_over(loaded()), secret, max_tokens=9))
        assert (sum(engine.slots), engine.slot_bytes) == (0, 0)
        assert ask(engine, secret)[-1].usage.cached_tokens == 0


def test_of_a_private_question_that_is_cancelled_nothing_is_left(loaded):
    engine = shared(loaded(), 40 * SLOT)
    secret, cancel = user(f"my secret {LONG}"), Event()
    stream = engine.stream_privately(secret, GenerationParams(), cancel)
    for _ in range(3):
        next(stream)
    assert engine.slot_bytes > 0
    stream.close()
    assert (sum(engine.slots), engine.slot_bytes) == (0, 0)


def test_reading_ahead_takes_no_slot_that_is_in_use(loaded):
    engine = shared(loaded(), 40 * SLOT)
    first = engine.stream(user("hello"), GenerationParams(max_tokens=30, temperature=0.0), Event())
    texts = [next(first).text for _ in range(8)]
    draft = [*user("hello"), Message("assistant", "".join(texts)), Message("user", "and th")]
    engine.warm(draft, GenerationParams(), Event())
    texts += [chunk.text for chunk in first]
    alone = ask(engine_over(loaded()), user("hello"), max_tokens=30, temperature=0.0)
    assert "".join(texts) == text_of(alone)


def test_one_that_is_too_long_leaves_the_slots_as_they_are(loaded):
    engine = shared(loaded(), 40 * SLOT)
    ask(engine, user("hello"))
    before = engine.slots
    with pytest.raises(ContextFull):
        ask(engine, user(LONG * 9))
    assert engine.slots == before


class Failing:
    """A net for which memory ends when it has read so many tokens."""

    def __init__(self, inner, most):
        self.inner, self.most = inner, most

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def read(self, ids, last=1):
        if self.inner.tokens + len(ids) > self.most:
            raise torch.OutOfMemoryError
        return self.inner.read(ids, last)

    def fork(self, tokens, room):
        return Failing(self.inner.fork(tokens, room), self.most)


def test_where_memory_ends_for_one_the_others_go_on(loaded):
    model = loaded()
    fresh = Failing(FusedNet(model.reader.plan, model.reader.weights), 150)
    engine = LocalEngine("tiny", replace(model, reader=fresh), TEMPLATE, context_tokens=1024)
    engine.share(40 * SLOT)
    ask(engine, user("something else"))
    params = GenerationParams(max_tokens=30, temperature=0.0)
    first = engine.stream(user("hello"), params, Event())
    texts = [next(first).text for _ in range(8)]
    with pytest.raises(OutOfMemory):
        ask(engine, user(LONG))
    texts += [chunk.text for chunk in first]
    alone = ask(engine_over(model), user("hello"), max_tokens=30, temperature=0.0)
    assert "".join(texts) == text_of(alone)
    assert len([tokens for tokens in engine.slots if tokens]) == 1


def test_on_a_shared_thread_all_say_what_they_say_alone(loaded):
    model = loaded()
    thread = EngineThread("tiny", lambda report: engine_over(model), shared=True)
    params = GenerationParams(max_tokens=20, **SEEDED)
    prompts = [user(f"{LONG[:300]} question {n}") for n in range(4)]
    streams = [thread.stream(messages, params, Event()) for messages in prompts]
    texts = [""] * 4
    for stream in streams:
        next(stream)
    for n, stream in enumerate(streams):
        texts[n] += text_of(stream)
    assert texts == [text_of(engine_over(model).stream(p, params, Event())) for p in prompts]
    assert len(thread.slots) == 4
    thread.close()


def test_a_batch_and_a_reply_beside_each_other_say_what_they_say_alone(loaded):
    model = loaded()
    thread = EngineThread("tiny", lambda report: engine_over(model), shared=True)
    params = GenerationParams(max_tokens=20, temperature=0.0)
    prompts = [user(f"{LONG[:200]} question {n}") for n in range(4)]
    texts = dict.fromkeys(range(4), "")
    stream = thread.stream(prompts[0], params, Event())
    next(stream)
    for n, item in thread.batch([(prompt, params) for prompt in prompts[1:]], Event()):
        texts[n + 1] += item.text
    texts[0] = text_of(stream)
    alone = [text_of(engine_over(model).stream(p, params, Event())) for p in prompts]
    assert [texts[n] for n in range(4)] == alone
    thread.close()


def test_who_takes_turns_hears_what_there_is_to_say_of_the_model_and_of_the_own_question(loaded):
    model = loaded()
    defaults = replace(model.defaults, not_followed=("num_beams",))
    engine = shared(replace(model, defaults=defaults), 3 * SLOT)
    asked = [(user(f"hello {n}"), GenerationParams(max_tokens=2, think=n)) for n in (None, True)]
    streams = [engine.stream(*each, Event()) for each in asked]
    in_turns = [[next(stream).notice for stream in streams] for _ in range(2)]
    in_a_batch = [(index, item.notice) for index, item in engine.batch(asked, Event())]
    of_model, of_switch = in_turns[0][0], in_turns[1][1]
    assert of_model.endswith("num_beams")
    assert "--think changes nothing" in of_switch
    assert in_turns == [[of_model, of_model], ["", of_switch]]
    assert [each for each in in_a_batch if each[1]] == [(0, of_model), (1, of_switch)]
