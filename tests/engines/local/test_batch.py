"""Several prompts to a model in this process: each reply is what it is alone."""

from dataclasses import replace
from threading import Event

import pytest
import torch

from glmcli import machine
from glmcli.engines import Batches
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.fused.decoder import FusedNet
from glmcli.engines.local.net.fused.open import open_fused
from glmcli.engines.local.net.fused.rows import FREE_SHARE, MOST_ROWS
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ContextFull, EngineError, GlmError, OutOfMemory, UsageError
from glmcli.types import GenerationParams
from tests.support.nets import SLOT, opened, saved
from tests.support.templates import CHATML
from tests.support.tiny_chat import LONG, NET, TEMPLATE, tokenizer_of, user

FAMILIES = ["llama", "llama with biases", "one query head per key head", "qwen3", "glm4", "tied"]
"""Grouped heads or not, norms of queries and keys, norms behind, biases."""
REFUSES = "{% if messages[0].content == 'bad' %}{{ raise_exception('not so') }}{% endif %}"
GREEDY = {"temperature": 0.0, "max_tokens": 12}


def loaded(name, tmp_path, **options):
    return open_fused(*opened(saved(name, tmp_path / "net"), tmp_path, **options), lambda _: None)


def engine_of(model, **options):
    return LocalEngine("tiny", model, TEMPLATE, **{"context_tokens": 1024, "threads": 1, **options})


@pytest.fixture
def model(tmp_path):
    return loaded("llama", tmp_path)


@pytest.fixture
def engine(model):
    return engine_of(model)


def asked(*texts, **params):
    return [(user(text), GenerationParams(**GREEDY | params)) for text in texts]


def replies(items):
    """Index -> (text, how it ended, prompt and completion tokens), or an error."""
    texts, ends = {}, {}
    for index, item in items:
        assert index not in ends
        if isinstance(item, GlmError):
            ends[index] = item
            continue
        texts[index] = texts.get(index, "") + item.text
        if item.finish_reason:
            usage = item.usage
            counts = usage.prompt_tokens, usage.completion_tokens
            ends[index] = (texts[index], item.finish_reason, *counts)
    return ends


def batched(engine, prompts, cancel=None):
    return replies(engine.batch(prompts, cancel or Event()))


def alone(engine, prompts):
    """The same, one after the other."""
    return {
        index: replies((index, chunk) for chunk in engine.stream(*each, Event()))[index]
        for index, each in enumerate(prompts)
    }


def mixed(**params):
    """Prompts of all lengths, that end at different times, more than there are rows."""
    texts = [f"{'word ' * (index % 5)}question {index}" for index in range(MOST_ROWS + 8)]
    texts[3] = texts[17] = LONG[:600]
    prompts = asked(*texts)
    changes = [{"max_tokens": 1 + index % 9, **params} for index in range(len(texts))]
    changes[2] = {"max_tokens": 300, **params}
    return [
        (messages, replace(each, **change))
        for (messages, each), change in zip(prompts, changes, strict=True)
    ]


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_replies_are_those_of_one_after_the_other(name, tmp_path):
    engine, prompts = engine_of(loaded(name, tmp_path)), mixed()
    assert isinstance(engine, Batches)
    assert batched(engine, prompts) == alone(engine, prompts)


@pytest.mark.parametrize("name", ["llama", "qwen3", "glm4"])
def test_a_seed_gives_the_reply_that_it_gives_alone(name, tmp_path):
    engine = engine_of(loaded(name, tmp_path))
    prompts = [
        (messages, replace(params, temperature=1.0, top_p=0.9, seed=index, repetition_penalty=1.1))
        for index, (messages, params) in enumerate(mixed())
    ]
    assert batched(engine, prompts) == alone(engine, prompts)


def test_weights_of_8_bits_take_several_rows_as_they_take_one(tmp_path):
    engine = engine_of(loaded("llama", tmp_path, quantize="int8"))
    assert batched(engine, mixed()) == alone(engine, mixed())


def test_stop_strings_and_ids_end_a_reply_and_not_the_others(engine):
    prompts = asked(*(f"say {index}" for index in range(6)), max_tokens=40)
    texts = [end[0] for end in alone(engine, prompts).values()]
    stops = [text[len(text) // 2 :][:2] for text in texts]
    prompts = [
        (messages, replace(params, stop=(stop,)))
        for (messages, params), stop in zip(prompts, stops, strict=True)
    ]
    found = batched(engine, prompts)
    assert found == alone(engine, prompts)
    assert "stop" in {end[1] for end in found.values()}


def test_no_tokens_are_a_reply_too(engine):
    prompts = asked("one", "two") + asked("three", max_tokens=0)
    assert batched(engine, prompts) == alone(engine, prompts)


def test_a_shared_beginning_is_read_once(engine):
    prompts = asked(*(f"{LONG[:400]} question {index}" for index in range(4)))
    cached = [
        item.usage.cached_tokens for _, item in engine.batch(prompts, Event()) if item.finish_reason
    ]
    shared = engine.count(user(LONG[:400]))
    assert sum(tokens > shared // 2 for tokens in cached) == 3


@pytest.mark.parametrize("texts", [["one"], ["one", "two"]])
def test_of_a_batch_nothing_is_kept_and_conversations_stay(texts, engine):
    engine.share(1 << 30)
    replies(engine.batch(asked("a talk"), Event()))
    assert [*engine.slots] == [0]
    list(engine.stream(*asked("a talk")[0], Event()))
    before = [n for n in engine.slots if n]
    assert before
    replies(engine.batch(asked(*texts), Event()))
    assert [n for n in engine.slots if n] == before


def test_in_turn_nothing_is_kept_either(tmp_path):
    engine = engine_of(loaded("llama", tmp_path))
    replies(engine.batch(asked("one"), Event()))
    assert [*engine.slots] == [0]


def test_a_net_of_transformers_answers_in_turn():
    engine = LocalEngine("tiny", model_of(NET), TEMPLATE, context_tokens=1024)
    prompts = asked("one", "two", "three")
    assert batched(engine, prompts) == alone(engine, prompts)


def test_a_prompt_that_does_not_fit_is_an_error_and_the_rest_goes_on(model):
    """One that is just too long, and one that is so long that it is not even encoded."""
    engine = engine_of(model, context_tokens=200)
    found = batched(engine, asked("one", LONG, "two", "x" * 100_000, "three"))
    errors = {index: found.pop(index) for index in (1, 3)}
    assert {type(error) for error in errors.values()} == {ContextFull}
    assert list(found.values()) == list(alone(engine, asked("one", "two", "three")).values())


def test_a_prompt_that_the_template_refuses_is_an_error_of_its_own(model):
    picky = ChatTemplate(tokenizer_of(REFUSES + CHATML))
    engine = LocalEngine("tiny", model, picky, context_tokens=1024, threads=1)
    found = batched(engine, asked("one", "two", "bad", "three"))
    assert isinstance(found.pop(2), UsageError)
    assert list(found.values()) == list(alone(engine, asked("one", "two", "three")).values())


@pytest.mark.parametrize("after", [0, 1, 30])
def test_cancelling_ends_all_and_the_next_call_is_as_good_as_the_first(after, engine):
    cancel, seen, items = Event(), 0, []
    if after == 0:
        cancel.set()
    for index, item in engine.batch(mixed(), cancel):
        items.append((index, item))
        seen += item.tokens
        if seen >= after > 0:
            cancel.set()
    found = replies(items)
    assert sorted(found) == list(range(len(mixed())))
    assert {end[1] for end in found.values()} <= {"cancelled", "length", "stop"}
    assert sum(end[1] == "cancelled" for end in found.values()) > len(found) // 4
    assert batched(engine, mixed()[:4]) == alone(engine, mixed()[:4])


def test_who_leaves_in_the_middle_leaves_nothing_behind(engine):
    items = engine.batch(mixed(), Event())
    next(item for _, item in items if item.text)
    items.close()
    assert batched(engine, mixed()[:4]) == alone(engine, mixed()[:4])


class Panicking(ChatTemplate):
    """A template whose second reply cannot be decoded beyond so many ids."""

    def __init__(self, ids):
        super().__init__(tokenizer_of())
        self.ids, self.replies = ids, 0

    def decoder(self, prompt):
        self.replies += 1
        decoder = super().decoder(prompt)
        if self.replies == 2:
            push, left = decoder.push, iter(range(self.ids))

            def panic(token):
                if next(left, None) is None:
                    raise SystemExit("it broke")
                return push(token)

            decoder.push = panic
        return decoder


@pytest.mark.parametrize("ids", [0, 4])
def test_a_library_that_panics_ends_its_own_reply_alone(ids, model):
    prompts = asked("one", "two", "three")
    found = batched(LocalEngine("tiny", model, Panicking(ids), context_tokens=1024), prompts)
    wanted = alone(engine_of(replace(model, reader=Failing(model.reader, lambda x: x))), prompts)
    error = found.pop(1)
    assert isinstance(error, EngineError)
    assert "it broke" in str(error)
    assert found == {index: wanted[index] for index in (0, 2)}


class Failing(FusedNet):
    """A net whose head fails at times, for several rows at once."""

    def __init__(self, sound, fail):
        """`fail` is called with the scores before they go out."""
        head = sound.weights.head
        super().__init__(sound.plan, replace(sound.weights, head=lambda x: fail(head(x))))


def failing(model, fail):
    return engine_of(replace(model, reader=Failing(model.reader, fail)))


def test_with_memory_for_fewer_rows_there_are_fewer_and_all_are_answered(model):
    sizes = []

    def fail(scores):
        sizes.append(len(scores))
        if len(scores) > 5:
            raise torch.OutOfMemoryError("out of memory")
        return scores

    found = batched(failing(model, fail), mixed())
    assert found == alone(engine_of(model), mixed())
    assert sum(size > 5 for size in sizes) < 6


def test_with_memory_for_none_each_is_an_error(model):
    def fail(scores):
        raise torch.OutOfMemoryError("out of memory")

    found = batched(failing(model, fail), mixed()[:3])
    assert [type(end) for end in found.values()] == 3 * [OutOfMemory]


def test_where_little_memory_is_free_texts_wait_for_each_other(model, tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemAvailable: 600 kB\n")
    wanted = alone(engine_of(model), mixed())
    monkeypatch.setattr(machine, "PROC", tmp_path)
    together = []

    def count(scores):
        together.append(len(scores))
        return scores

    assert batched(failing(model, count), mixed()) == wanted
    assert max(together) < MOST_ROWS // 2


@pytest.mark.parametrize(("numbers", "slots"), [("13", 2), ("134", 3), ("134", 4), ("134", 6)])
def test_texts_that_outgrow_their_space_at_once_wait_for_each_other(
    numbers, slots, engine, tmp_path, monkeypatch
):
    prompts = asked(*(f"say {number}" for number in numbers), max_tokens=400)
    wanted = alone(engine, prompts)
    assert {end[1:] for end in wanted.values()} == {("length", 31, 400)}
    kilobytes = int(slots * SLOT / FREE_SHARE) >> 10
    (tmp_path / "meminfo").write_text(f"MemAvailable: {kilobytes} kB\n")
    monkeypatch.setattr(machine, "PROC", tmp_path)
    assert batched(engine, prompts) == wanted


def test_a_net_that_fails_ends_those_that_were_in_the_step(model):
    calls = []

    def fail(scores):
        calls.append(len(scores))
        if len(scores) == 1 or calls.count(MOST_ROWS) > 1:
            return scores
        raise RuntimeError("broken")

    prompts = asked(*(f"say {index}" for index in range(MOST_ROWS + 3)))
    found = batched(failing(model, fail), prompts)
    errors = [end for end in found.values() if isinstance(end, GlmError)]
    assert {type(error) for error in errors} == {EngineError}
    assert len(errors) >= MOST_ROWS - 1
    assert sorted(found) == list(range(len(prompts)))


def test_scores_that_are_no_numbers_end_their_own_reply_alone(model):
    def fail(scores):
        if len(scores) == 6:
            scores = scores.clone()
            scores[2] = torch.nan
        return scores

    prompts = asked(*(f"say {index}" for index in range(6)))
    wanted, found = alone(engine_of(model), prompts), batched(failing(model, fail), prompts)
    errors = [index for index, end in found.items() if isinstance(end, GlmError)]
    assert len(errors) == 1
    assert "not numbers" in str(found[errors[0]])
    assert all(found[index] == wanted[index] for index in wanted if index not in errors)
