"""A model in this process: its replies, its window, and what ends a reply."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from threading import Event

import pytest
import torch
from tokenizers import Tokenizer

from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.fitting import FAR_LETTERS
from glmcli.engines.local.net.fused import alike
from glmcli.engines.local.net.plain.reader import model_of
from glmcli.engines.local.net.reader import BLOCK
from glmcli.engines.local.prompt.template import ChatTemplate
from glmcli.errors import ContextFull, EngineError, OutOfMemory, UsageError
from glmcli.models.defaults import defaults_in
from glmcli.types import Chunk, GenerationParams, Message, Progress
from tests.support import tiny
from tests.support.templates import CHATML
from tests.support.tiny_chat import (
    LONG,
    NET,
    PARAMS,
    TEMPLATE,
    TOKENIZER,
    Forgetful,
    Saying,
    ask,
    conversation,
    sampled,
    text_of,
    tokenizer_of,
    user,
)


@pytest.fixture
def engine():
    return LocalEngine("tiny", model_of(NET), TEMPLATE, context_tokens=1024)


def test_it_says_what_it_is(engine):
    assert (engine.name, engine.device, engine.context_tokens) == ("tiny", "cpu float32", 1024)


def test_the_joined_text_is_one_decode_of_what_generate_makes(engine):
    messages = user("hello world")
    ids = torch.tensor([TEMPLATE.encode(messages).ids])
    whole = NET.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False
    )
    reply = whole[0, ids.shape[1] :].tolist()
    end = next((i for i, token in enumerate(reply) if token in TEMPLATE.stop_ids), len(reply))
    chunks = ask(engine, messages, max_tokens=60)
    assert text_of(chunks) == TOKENIZER.decode(reply[:end], skip_special_tokens=True)
    assert len(sampled(chunks)) == end


def test_only_the_last_chunk_has_an_ending_and_the_counts(engine):
    *chunks, last = ask(engine, user("hello"))
    assert all(chunk.finish_reason is None and chunk.usage is None for chunk in chunks)
    assert last.finish_reason == "length"
    assert last.usage.prompt_tokens == engine.count(user("hello"))
    assert last.usage.cached_tokens == 0
    assert last.usage.completion_tokens == len(sampled(chunks)) == 20
    assert last.tokens == 0


@pytest.mark.parametrize(
    "params", [{"temperature": 0.0}, {"temperature": 1.0, "seed": 1}, {"temperature": 1.0}]
)
def test_of_a_prompt_that_is_asked_again_nothing_is_read(engine, params):
    messages = user("hello world, and more")
    first, again = (ask(engine, messages, **params) for _ in range(2))
    assert first[-1].usage.cached_tokens == 0
    assert again[-1].usage.cached_tokens == again[-1].usage.prompt_tokens
    is_repeatable = params["temperature"] == 0 or "seed" in params
    assert sampled(first) == sampled(again) or not is_repeatable


def test_what_was_read_before_changes_no_reply(engine):
    counts, replies = conversation(engine, 4)
    counts_anew, replies_anew = conversation(
        Forgetful("tiny", model_of(NET), TEMPLATE, context_tokens=1024), 4
    )
    assert replies == replies_anew
    assert all(cached > 0 for _, cached, _ in counts[1:])
    assert all(cached == 0 for _, cached, _ in counts_anew)


def test_a_question_is_read_once(engine):
    counts, _ = conversation(engine, 10)
    for (before, _, _), (_, cached, _) in pairwise(counts):
        assert cached >= before


@pytest.mark.parametrize("room", [0, 1, 5])
def test_the_reply_ends_where_the_window_ends(room):
    messages = user("hello world")
    needed = len(TEMPLATE.encode(messages).ids)
    engine = LocalEngine("tiny", model_of(NET), TEMPLATE, context_tokens=needed + room)
    if room:
        last = ask(engine, messages, max_tokens=None)[-1]
        assert (last.finish_reason, last.usage.completion_tokens) == ("length", room)
    else:
        with pytest.raises(ContextFull) as caught:
            ask(engine, messages)
        assert (caught.value.needed, caught.value.limit) == (needed, needed)
        assert engine.known_ids == ()


class Limited(ChatTemplate):
    """Encodes no long text."""

    def encode(self, messages, *, think=None):
        assert sum(len(item.text) for item in messages) < 100_000
        return super().encode(messages, think=think)


def test_a_text_far_beyond_the_window_is_refused_after_a_look_at_its_beginning():
    engine = LocalEngine("tiny", model_of(NET), Limited(TOKENIZER), context_tokens=1024)
    text = "hello world " * 200_000
    with pytest.raises(ContextFull) as caught:
        ask(engine, user("hi", "ok", text))
    per_letter = len(TOKENIZER.encode(text[:60_000])) / 60_000
    assert caught.value.needed == pytest.approx(per_letter * len(text), rel=0.02)


def test_a_text_far_beyond_the_window_is_counted_as_it_would_be_refused():
    engine = LocalEngine("tiny", model_of(NET), Limited(TOKENIZER), context_tokens=1024)
    messages = user("hi", "ok", "hello world " * 200_000)
    with pytest.raises(ContextFull) as caught:
        ask(engine, messages)
    assert engine.count(messages) == caught.value.needed > 1024


def test_many_short_messages_that_fit_are_not_taken_for_too_many():
    """Though more is written around each of them alone than in a conversation."""
    rule = "-" * 100
    backend = Tokenizer.from_str(tiny.byte_level().to_str())
    backend.add_tokens([rule])
    template = ChatTemplate(tokenizer_of(backend=backend))
    messages = user(*[rule] * 21)
    needed = len(template.encode(messages).ids)
    engine = LocalEngine("tiny", model_of(NET), template, context_tokens=needed + 1)
    assert len(rule) * 21 > FAR_LETTERS * engine.context_tokens
    assert engine.count(messages) == needed
    assert next(engine.stream(messages, PARAMS, Event())).progress.total == needed


def test_cancelling_before_the_start_ends_with_one_chunk(engine):
    cancel = Event()
    cancel.set()
    (chunk,) = ask(engine, user("hello"), cancel)
    assert chunk.finish_reason == "cancelled"
    assert chunk.usage.completion_tokens == 0


def test_a_prompt_reports_its_size_and_how_far_it_was_read(engine):
    assert next(engine.stream(user("hi"), GenerationParams(), Event())) == Chunk(
        progress=Progress("reading", 0, engine.count(user("hi")))
    )
    chunks = ask(engine, user(LONG))
    progress = [chunk.progress for chunk in chunks if chunk.progress]
    total = engine.count(user(LONG))
    cached = chunks[-1].usage.cached_tokens
    steps = range(cached, total, BLOCK)
    assert progress == [Progress("reading", done, total) for done in steps]
    assert len(steps) > 2


def test_cancelling_while_reading_stops_after_a_block_and_the_next_call_is_as_good(engine):
    cancel = Event()
    stream = engine.stream(user(LONG), GenerationParams(max_tokens=5), cancel)
    assert next(stream).progress.done == 0
    assert next(stream).progress.done == BLOCK
    cancel.set()
    (last,) = list(stream)
    assert last.finish_reason == "cancelled"
    assert len(engine.known_ids) == BLOCK
    again = ask(engine, user(LONG))
    assert again[-1].usage.cached_tokens == BLOCK
    assert text_of(again) == text_of(ask(LocalEngine("new", model_of(NET), TEMPLATE), user(LONG)))


def test_cancelling_while_it_replies_keeps_what_arrived(engine):
    cancel = Event()
    stream = engine.stream(user("hello"), GenerationParams(max_tokens=50), cancel)
    shown = [next(stream), next(stream), next(stream)]
    cancel.set()
    (last,) = list(stream)
    assert (last.finish_reason, last.usage.completion_tokens) == ("cancelled", 2)
    whole = text_of(ask(engine, user("hello")))
    assert whole.startswith(text_of(shown))
    assert whole == text_of(ask(LocalEngine("new", model_of(NET), TEMPLATE), user("hello")))


def test_a_stop_string_ends_the_reply_and_is_not_shown(engine):
    whole = text_of(ask(engine, user("hello"), max_tokens=30))
    stop = whole[9:12]
    chunks = ask(engine, user("hello"), max_tokens=30, stop=(stop,))
    assert text_of(chunks) == whole[: whole.index(stop)]
    assert chunks[-1].finish_reason == "stop"
    assert len(sampled(chunks)) < 30


def stating(**stated):
    """An engine whose checkpoint states these defaults."""
    model = replace(model_of(NET), defaults=defaults_in(stated))
    return LocalEngine("tiny", model, TEMPLATE, context_tokens=1024)


def test_a_stop_string_of_the_checkpoint_counts_unless_one_is_typed(engine):
    whole = text_of(ask(engine, user("hello"), max_tokens=30))
    second, first, *_ = re.findall(r"[a-z]{2,}", whole[2:])  # bytes that are no text never match
    stated = stating(stop_strings=[second])
    assert text_of(ask(stated, user("hello"), max_tokens=30)) == whole[: whole.index(second)]
    typed = ask(stated, user("hello"), max_tokens=30, stop=(first,))
    assert text_of(typed) == whole[: whole.index(first)]


def test_a_number_of_new_tokens_of_the_checkpoint_counts_unless_one_is_typed():
    engine = stating(max_new_tokens=7)
    last = ask(engine, user("hello"), max_tokens=None)[-1]
    assert (last.finish_reason, last.usage.completion_tokens) == ("length", 7)
    assert ask(engine, user("hello"), max_tokens=9)[-1].usage.completion_tokens == 9


def test_a_reply_ends_when_the_checkpoint_s_time_is_over():
    last = ask(stating(max_time=1e-6), user("hello"))[-1]
    assert (last.finish_reason, last.usage.completion_tokens) == ("time", 1)
    assert ask(stating(max_time=1e6), user("hello"))[-1].usage.completion_tokens == 20


def test_ids_that_end_a_reply_wait_for_the_least_number_of_tokens():
    first = TOKENIZER.encode(text_of(ask(stating(), user("hello"), max_tokens=1)))[0]
    model = replace(model_of(NET), defaults=defaults_in({"min_new_tokens": 5}))
    model = replace(model, stop_ids=frozenset({first}))
    last = ask(LocalEngine("tiny", model, TEMPLATE, context_tokens=1024), user("hello"))[-1]
    assert last.usage.completion_tokens >= 5


def test_what_is_not_followed_is_told_with_each_reply_as_others_may_hear_the_next():
    engine = stating(num_beams=4, guidance_scale=1.5, top_k=5)
    for _ in range(2):
        (chunk,) = (chunk for chunk in ask(engine, user("hello")) if chunk.notice)
        assert chunk.notice.endswith("generation_config.json: num_beams, guidance_scale")
        assert chunk.once
    assert not any(chunk.notice for chunk in ask(stating(num_beams=1), user("hello")))


def test_an_end_of_turn_is_not_part_of_the_reply():
    net = tiny.llama(len(TOKENIZER))
    first = int(net(torch.tensor([TEMPLATE.encode(user("hello")).ids])).logits[0, -1].argmax())
    net.generation_config.eos_token_id = [first, 3]
    _, last = ask(LocalEngine("tiny", model_of(net), TEMPLATE), user("hello"))
    assert (last.finish_reason, last.usage.completion_tokens, last.text) == ("stop", 0, "")


def test_the_ends_of_the_net_s_generation_config_count():
    net = tiny.llama(eos_token_id=[5, 6])
    assert model_of(net).stop_ids == {5, 6}
    net.generation_config.eos_token_id = 7
    assert model_of(net).stop_ids == {7}
    assert model_of(NET).stop_ids == frozenset()


def test_a_seed_makes_replies_repeatable(engine):
    one, two, other = (
        text_of(ask(engine, user("hello"), temperature=1.0, seed=seed)) for seed in (1, 1, 2)
    )
    assert one == two != other


def test_a_reply_goes_on_with_the_last_message(engine):
    whole = text_of(ask(engine, user("hello"), max_tokens=20))
    ids = TOKENIZER.encode(whole, add_special_tokens=False)
    chunks = ask(engine, user("hello", whole), max_tokens=10)
    prompt = TEMPLATE.encode(user("hello")).ids
    assert chunks[-1].usage.prompt_tokens == len(prompt) + len(ids)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_reply_that_was_cut_inside_a_character_goes_on_with_the_whole_one(is_cancelled):
    text = "a🦉 and the lazy dog"
    prompt = TEMPLATE.encode(user("hello")).ids
    said = [*TOKENIZER.encode(text, add_special_tokens=False), TOKENIZER.eos_token_id]
    for size in range(1, 8):
        model = replace(model_of(NET), reader=Saying(prompt, said))
        engine = LocalEngine("sayer", model, TEMPLATE, context_tokens=1024)
        cancel = Event()
        params = GenerationParams(max_tokens=None if is_cancelled else size)
        chunks = []
        for chunk in engine.stream(user("hello"), params, cancel):
            chunks.append(chunk)
            if is_cancelled and len(sampled(chunks)) == size:
                cancel.set()
        assert chunks[-1].finish_reason == ("cancelled" if is_cancelled else "length")
        first = text_of(chunks)
        assert first == TOKENIZER.decode(said[:size]).rstrip("\ufffd")
        assert first + text_of(ask(engine, user("hello", first))) == text


def test_warming_reads_what_the_next_prompt_begins_with(engine):
    history = user("hello", "you")
    engine.warm(history, PARAMS, Event())
    read = engine.known_ids
    question = [*history, *user("what now?")]
    usage = ask(engine, question)[-1].usage
    assert usage.cached_tokens == len(read) > engine.count(history)
    assert usage.prompt_tokens - usage.cached_tokens < 20


def test_warming_never_drops_what_is_of_use(engine):
    ask(engine, user(LONG))
    before = engine.known_ids
    engine.warm([], PARAMS, Event())
    assert engine.known_ids == before
    engine.warm(user(LONG), PARAMS, Event())
    assert engine.known_ids[: len(before) - 30] == before[: len(before) - 30]


def test_warming_stops_when_cancelled(engine):
    cancel = Event()
    cancel.set()
    engine.warm(user(LONG, "ok"), PARAMS, cancel)
    assert engine.known_ids == ()


def test_warming_ignores_what_cannot_be_sent():
    engine = LocalEngine("tiny", model_of(NET), TEMPLATE, context_tokens=30)
    engine.warm(user(LONG, "ok"), PARAMS, Event())
    engine.warm([Message("user", "\ud83d")], PARAMS, Event())
    assert engine.known_ids == ()


def test_a_system_prompt_is_ready_before_the_first_question(engine):
    system = [Message("system", LONG)]
    engine.warm(system, PARAMS, Event())
    usage = ask(engine, [*system, *user("hi")])[-1].usage
    assert usage.prompt_tokens - usage.cached_tokens < BLOCK / 8


def test_what_cannot_be_counted_has_no_count(engine):
    assert engine.count([Message("user", "\ud83d")]) is None


def test_bad_text_is_refused_before_any_work(engine):
    with pytest.raises(UsageError):
        ask(engine, [Message("user", "\ud83d")])


class Full:
    """A net whose memory is full from the second call on, until told otherwise."""

    def __init__(self):
        self.calls, self.is_full = 0, True
        self.device, self.dtype = NET.device, NET.dtype
        self.config, self.generation_config = NET.config, NET.generation_config

    def forward(self, logits_to_keep=0):
        raise NotImplementedError

    def prepare_inputs_for_generation(self, ids, **given):
        return NET.prepare_inputs_for_generation(ids, **given)

    def __call__(self, **inputs):
        self.calls += 1
        if self.is_full and self.calls > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return NET(**inputs)


def test_a_full_memory_is_an_error_and_the_next_call_works(engine):
    net = Full()
    full = LocalEngine("full", model_of(net), TEMPLATE)
    with pytest.raises(OutOfMemory):
        ask(full, user("hello"))
    net.is_full = False
    assert text_of(ask(full, user("hello"))) == text_of(ask(engine, user("hello")))


def test_a_net_that_computes_no_numbers_is_an_error():
    net = tiny.llama(len(TOKENIZER))
    net.lm_head.weight.data.fill_(math.nan)
    with pytest.raises(EngineError, match="not numbers"):
        ask(LocalEngine("nan", model_of(net), TEMPLATE), user("hello"))


def test_a_switch_for_reasoning_that_the_template_lacks_is_told_of_where_it_is_used(engine):
    line = "this model has no switch for reasoning; --think changes nothing"
    for think in (False, None, True):
        notices = [chunk for chunk in ask(engine, user("hi"), think=think) if chunk.notice]
        assert notices == [Chunk(notice=line, once=True)] * (think is not None)
    switching = ChatTemplate(tokenizer_of(CHATML + "{{ 'no' if enable_thinking is false }}"))
    other = LocalEngine("tiny", model_of(NET), switching, context_tokens=1024)
    assert not any(chunk.notice for chunk in ask(other, user("hi"), think=False))


class Circling:
    """A net that says the ids from 10 to 19 over and over, and notes how many it reads at once."""

    whole_beyond, can_rewind, is_rounded, block, memory_bytes = math.inf, True, False, BLOCK, 0

    def __init__(self):
        self.counts = []

    def read(self, ids, last=1):
        self.counts.append(last)
        following = torch.tensor([10 + (token + 1) % 10 for token in ids[-last:]])
        return torch.nn.functional.one_hot(following, len(TOKENIZER)).float()

    def rewind(self, tokens):
        return True

    def forget(self):
        pass


@pytest.mark.parametrize(
    ("asked_for", "is_alike", "has_guesses"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_guesses_are_read_along_where_they_change_no_bit_or_as_told(
    asked_for, is_alike, has_guesses, monkeypatch
):
    monkeypatch.setattr(alike, "reads_alike", lambda net: is_alike)
    net = Circling()
    model = replace(model_of(NET), reader=net)
    engine = LocalEngine("tiny", model, TEMPLATE, threads=1, speculate=asked_for)
    last = ask(engine, user("hello"), temperature=0.0, max_tokens=60)[-1]
    assert last.usage.completion_tokens == 60
    assert (max(net.counts) > 1) == has_guesses
    assert ("guesses right" in engine.details) == has_guesses
