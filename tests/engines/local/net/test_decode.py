"""Ids in, ids out: what a net has read never changes what it says."""

import math
from threading import Event

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcli.engines.local.net.decode import PrefixCache, decode, prefill
from glmcli.engines.local.net.plain.reader import PlainReader
from glmcli.engines.local.net.reader import BLOCK
from glmcli.engines.local.net.sampling.sampler import Sampler
from glmcli.errors import EngineError, ModelError, OutOfMemory
from glmcli.models.defaults import defaults_in
from glmcli.types import GenerationParams
from tests.support import tiny

NETS = {"llama": tiny.llama(), "sliding": tiny.sliding(), "hybrid": tiny.hybrid()}
NET = NETS["llama"]


def prompt(length, seed=1):
    return torch.randint(0, 430, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def defaults_of(net):
    return defaults_in(net.generation_config.to_dict())


def reply(cache, ids, count=12, *, params=None, stop_ids=(), cancel=None, net=NET):
    """Ids of a whole reply and why it ended."""
    cancel = cancel or Event()
    cache.keep(ids)
    for _ in prefill(cache, ids, cancel):
        pass
    sampler = Sampler(params or GenerationParams(), defaults_of(net), ids)
    stream = decode(cache, ids, sampler, stop_ids=stop_ids, max_tokens=count, cancel=cancel)
    found = []
    while True:
        try:
            found.append(next(stream))
        except StopIteration as end:
            return found, end.value


def fresh(ids, count=12, *, net=NET, **options):
    return reply(PrefixCache(PlainReader(net)), ids, count, net=net, **options)


def generated(net, ids, count, **options):
    """What transformers' own loop makes of `ids`."""
    whole = torch.tensor([ids])
    mask = torch.ones_like(whole)
    out = net.generate(whole, attention_mask=mask, max_new_tokens=count, **options)
    return out[0, len(ids) :].tolist()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("length", [1, 5, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_greedy_ids_equal_generate(name, length):
    net, ids = NETS[name], prompt(length)
    assert fresh(ids, 40, net=net) == (generated(net, ids, 40, do_sample=False), "length")


def test_greedy_ids_equal_generate_with_a_repetition_penalty():
    ids = prompt(20)
    expected = generated(NET, ids, 40, do_sample=False, repetition_penalty=1.3)
    assert fresh(ids, 40, params=GenerationParams(repetition_penalty=1.3))[0] == expected
    assert expected != generated(NET, ids, 40, do_sample=False)


def test_sampled_ids_equal_generate_with_the_same_seed():
    ids = prompt(20)
    torch.manual_seed(7)
    expected = generated(
        NET, ids, 30, do_sample=True, temperature=0.8, top_k=30, top_p=0.9, repetition_penalty=1.1
    )
    params = GenerationParams(temperature=0.8, top_k=30, top_p=0.9, repetition_penalty=1.1, seed=7)
    assert fresh(ids, 30, params=params)[0] == expected


def test_prefill_reads_in_blocks_and_leaves_the_last():
    cache = PrefixCache(PlainReader(NET))
    ids = prompt(3 * BLOCK + 10)
    assert list(prefill(cache, ids, Event())) == [BLOCK, 2 * BLOCK, 3 * BLOCK]
    assert list(prefill(cache, ids, Event(), leave=0)) == [3 * BLOCK + 10]
    assert cache.ids == ids


@pytest.mark.parametrize("name", NETS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_chain_of_prompts_gives_the_ids_of_a_fresh_cache(name, data):
    net = NETS[name]
    cache = PrefixCache(PlainReader(net))
    ids = prompt(data.draw(st.integers(1, 40)))
    for seed in range(3):
        cut = data.draw(st.integers(0, len(ids)))
        ids = ids[:cut] + prompt(data.draw(st.integers(1, 30)), seed=seed + 2)
        said, _ = reply(cache, ids, 6, net=net)
        assert said == fresh(ids, 6, net=net)[0]
        ids = ids + said


def test_only_new_ids_are_read_again():
    cache = PrefixCache(PlainReader(NET))
    ids = prompt(30)
    said, _ = reply(cache, ids, 5)
    assert cache.ids == ids + said[:-1]
    assert cache.keep([*ids, *said, 1, 2]) == 34
    assert cache.keep([*ids[:10], 7, 7]) == 10
    assert cache.keep(ids[:10]) == 9


def test_a_net_with_a_state_reads_every_prompt_anew_and_in_one_go():
    net = NETS["hybrid"]
    cache, ids = PrefixCache(PlainReader(net)), prompt(3 * BLOCK)
    assert list(prefill(cache, ids, Event())) == []
    said, _ = reply(cache, ids, 5, net=net)
    assert cache.keep([*ids, *said, 1]) == 0


def test_a_cache_that_cannot_be_cut_is_forgotten():
    for name in ("sliding", "hybrid"):
        cache = PrefixCache(PlainReader(NETS[name]))
        reply(cache, prompt(30), 5, net=NETS[name])
        assert cache.keep([*prompt(20), 7, 7]) == 0


def test_a_sliding_cache_is_cut_as_long_as_it_has_forgotten_nothing():
    cache = PrefixCache(PlainReader(NETS["sliding"]))
    reply(cache, prompt(8), 4, net=NETS["sliding"])
    assert cache.keep([*prompt(6), 7, 7]) == 6
    assert reply(cache, [*prompt(6), 7, 7], 6, net=NETS["sliding"]) == fresh(
        [*prompt(6), 7, 7], 6, net=NETS["sliding"]
    )


def test_a_reply_ends_at_any_stop_id_which_is_not_part_of_it():
    ids = prompt(20)
    whole, _ = fresh(ids, 20)
    third = whole[3]
    cut = whole.index(third)
    assert fresh(ids, 20, stop_ids={third, 429}) == (whole[:cut], "stop")


def test_cancelling_while_a_prompt_is_read_stops_after_one_block():
    cache, cancel, ids = PrefixCache(PlainReader(NET)), Event(), prompt(5 * BLOCK)
    reading = prefill(cache, ids, cancel)
    next(reading)
    cancel.set()
    assert list(reading) == []
    assert cache.ids == ids[:BLOCK]
    assert reply(cache, ids, 5, cancel=cancel) == ([], "cancelled")
    assert reply(cache, ids, 5) == fresh(ids, 5)


def test_cancelling_while_ids_are_made_stops_after_one_step():
    cache, cancel, ids = PrefixCache(PlainReader(NET)), Event(), prompt(20)
    sampler = Sampler(GenerationParams(), defaults_of(NET), ids)
    stream = decode(cache, ids, sampler, stop_ids=(), max_tokens=50, cancel=cancel)
    first = [next(stream), next(stream)]
    cancel.set()
    with pytest.raises(StopIteration) as end:
        next(stream)
    assert end.value.value == "cancelled"
    assert cache.ids == [*ids, first[0]]
    assert reply(cache, ids, 5) == fresh(ids, 5)


def test_closing_the_stream_leaves_the_cache_as_good_as_new():
    cache, ids = PrefixCache(PlainReader(NET)), prompt(20)
    sampler = Sampler(GenerationParams(), defaults_of(NET), ids)
    stream = decode(cache, ids, sampler, stop_ids=(), max_tokens=50, cancel=Event())
    next(stream)
    next(stream)
    stream.close()
    assert reply(cache, ids, 5) == fresh(ids, 5)


def test_a_seed_makes_sampling_repeatable():
    ids = prompt(20)
    seeded = [fresh(ids, 20, params=GenerationParams(temperature=1.0, seed=s)) for s in (3, 3, 4)]
    assert seeded[0] == seeded[1]
    assert seeded[0] != seeded[2]


def test_without_a_seed_replies_differ():
    ids = prompt(20)
    assert fresh(ids, 20, params=GenerationParams(temperature=1.0)) != fresh(
        ids, 20, params=GenerationParams(temperature=1.0)
    )


def with_defaults(**defaults):
    net = tiny.llama()
    for name, value in defaults.items():
        setattr(net.generation_config, name, value)
    return net


def test_the_net_s_own_defaults_hold_where_nothing_is_asked():
    ids = prompt(20)
    net = with_defaults(do_sample=True, temperature=0.7, top_p=0.8, repetition_penalty=1.2)
    own = fresh(ids, 20, net=net, params=GenerationParams(seed=5))
    said = fresh(
        ids,
        20,
        params=GenerationParams(temperature=0.7, top_p=0.8, repetition_penalty=1.2, seed=5),
    )
    assert own == said


@pytest.mark.parametrize("temperature", [0.0, 1e-7])
def test_temperature_zero_is_greedy_whatever_the_defaults_say(temperature):
    ids = prompt(20)
    net = with_defaults(do_sample=True, temperature=0.7)
    params = GenerationParams(temperature=temperature)
    assert fresh(ids, 20, net=net, params=params) == fresh(ids, 20)


def test_a_temperature_asked_for_samples_although_the_defaults_are_greedy():
    ids = prompt(20)
    assert fresh(ids, 20, params=GenerationParams(temperature=1.0, seed=1)) != fresh(ids, 20)


def test_a_top_p_alone_leaves_greedy_defaults_greedy():
    ids = prompt(20)
    assert fresh(ids, 20, params=GenerationParams(top_p=0.5, seed=1)) == fresh(ids, 20)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_that_are_no_numbers_are_an_error_with_a_hint(bad, temperature):
    sampler = Sampler(GenerationParams(temperature=temperature), defaults_of(NET), prompt(3))
    scores = torch.zeros(430)
    scores[7] = bad
    with pytest.raises(EngineError) as caught:
        sampler.pick(scores)
    assert "--dtype" in caught.value.hint


def test_scores_that_rule_tokens_out_are_none():
    sampler = Sampler(GenerationParams(temperature=1.0), defaults_of(NET), prompt(3))
    scores = torch.full((430,), -math.inf)
    scores[7] = 1.0
    assert sampler.pick(scores) == 7


def test_a_broken_net_is_forgotten_and_the_next_reply_is_as_good_as_the_first():
    net = tiny.llama()
    cache, ids = PrefixCache(PlainReader(net)), prompt(20)
    weight = net.lm_head.weight
    kept = weight.data.clone()
    weight.data.fill_(math.nan)
    with pytest.raises(EngineError, match="not numbers"):
        reply(cache, ids, 5, net=net)
    assert cache.ids == []
    weight.data.copy_(kept)
    assert reply(cache, ids, 5, net=net) == fresh(ids, 5)


class Failing:
    """A net that fails at its third call, as a full device does."""

    def __init__(self, error):
        self.error, self.calls = error, 0
        self.device, self.dtype, self.config = NET.device, NET.dtype, NET.config
        self.generation_config = NET.generation_config

    def forward(self, logits_to_keep=0):
        raise NotImplementedError

    def prepare_inputs_for_generation(self, ids, **given):
        return NET.prepare_inputs_for_generation(ids, **given)

    def __call__(self, **inputs):
        self.calls += 1
        if self.calls == 3:
            raise self.error
        return NET(**inputs)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
    ],
)
def test_a_full_memory_is_named_and_the_next_reply_works(error):
    net = Failing(error)
    cache, ids = PrefixCache(PlainReader(net)), prompt(20)
    with pytest.raises(OutOfMemory, match="the conversation"):
        reply(cache, ids, 5)
    assert cache.ids == []
    assert reply(cache, ids, 5) == fresh(ids, 5)


def test_any_other_fault_of_a_net_is_an_engine_error_with_its_first_line():
    cache = PrefixCache(PlainReader(Failing(ValueError("bad shape\nmore"))))
    with pytest.raises(EngineError, match=r"the model failed: bad shape$"):
        reply(cache, prompt(20), 5)
    assert cache.ids == []


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (AttributeError("no x"), "no x"),
        (KeyError("x"), "'x' is missing"),
        (TypeError("not y"), "not y"),
    ],
)
def test_a_fault_that_asking_again_would_not_mend_is_one_of_the_model(error, why):
    cache = PrefixCache(PlainReader(Failing(error)), "tiny")
    with pytest.raises(ModelError) as caught:
        reply(cache, prompt(20), 5)
    assert caught.value.message == f"tiny cannot be run: {type(error).__name__}: {why}"
    assert "/retry" not in caught.value.hint


class Noting(PlainReader):
    """A reader that notes how many ids it reads at a time."""

    def __init__(self):
        super().__init__(NET)
        self.lengths = []

    def read(self, ids, last=1):
        self.lengths.append(len(ids))
        return super().read(ids, last)


def lengths_of_reply(cache, reader, ids, *, alike):
    """What is read at a time for a reply of 5 ids."""
    reader.lengths.clear()
    kept = cache.keep(ids, alike=alike)
    sampler = Sampler(GenerationParams(), defaults_of(NET), ids)
    for _ in prefill(cache, ids, Event()):
        pass
    for _ in decode(cache, ids, sampler, stop_ids=(), max_tokens=5, cancel=Event()):
        pass
    return kept, list(reader.lengths)


@pytest.mark.parametrize("length", [1, 20, BLOCK, BLOCK + 1, 2 * BLOCK + 44])
@pytest.mark.parametrize("alike", [False, True])
def test_a_prompt_that_is_asked_again_is_not_read_again(length, alike):
    reader, ids = Noting(), prompt(length)
    cache = PrefixCache(reader)
    said = reply(cache, ids)
    cache.read([5, 6, 7])  # what follows, read ahead
    for _ in range(2):
        assert lengths_of_reply(cache, reader, ids, alike=alike) == (length, [1] * 4)
    assert reply(cache, ids) == said


def test_what_samples_from_scores_that_are_known_cannot_change_them():
    reader, ids = Noting(), prompt(20)
    cache = PrefixCache(reader)
    for _ in range(3):
        cache.keep(ids)
        scores = cache.end_prompt(ids)
        assert scores.shape == (NET.config.vocab_size,) and scores.isfinite().all()
        with torch.inference_mode():
            scores.fill_(math.nan)


def test_in_16_bits_what_was_read_in_other_pieces_is_not_taken_for_the_same():
    begun, ids = prompt(40), [*prompt(40), *prompt(20, seed=2)]
    reader = Noting()
    reader.is_rounded = True
    cache = PrefixCache(reader)
    lengths_of_reply(cache, reader, begun, alike=False)
    assert lengths_of_reply(cache, reader, ids, alike=False)[0] == 40
    assert lengths_of_reply(cache, reader, ids, alike=True) == (0, [60, 1, 1, 1, 1])
    assert lengths_of_reply(cache, reader, ids, alike=True) == (60, [1, 1, 1, 1])


def test_a_prompt_that_went_another_way_meanwhile_is_not_taken_for_the_same():
    reader, ids = Noting(), prompt(60)
    cache = PrefixCache(reader)
    lengths_of_reply(cache, reader, ids, alike=True)
    cache.rewind(30)
    cache.read(ids[30:])
    assert lengths_of_reply(cache, reader, ids, alike=True)[0] == 59


@pytest.mark.parametrize("shared", [1, 26, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 9])
@pytest.mark.parametrize("between", [False, True])
def test_in_16_bits_a_prompt_is_read_in_the_pieces_of_a_net_that_read_nothing(shared, between):
    other, ids = prompt(300), [*prompt(300)[:shared], *prompt(120, seed=2)]
    alone = Noting()
    alone.is_rounded = True
    _, fresh_pieces = lengths_of_reply(PrefixCache(alone), alone, ids, alike=True)
    reader = Noting()
    reader.is_rounded = True
    cache = PrefixCache(reader)
    lengths_of_reply(cache, reader, other, alike=False)
    if between:  # what was read from elsewhere on is in no whole block
        lengths_of_reply(cache, reader, [*ids[: shared // 2 + 1], 7, 8, 9], alike=False)
    kept, pieces = lengths_of_reply(cache, reader, ids, alike=True)
    assert kept % BLOCK == 0 and kept <= shared
    assert [BLOCK] * (kept // BLOCK) + pieces == fresh_pieces
    assert between or kept == shared // BLOCK * BLOCK


def test_in_16_bits_what_was_said_is_kept_too():
    reader, ids = Noting(), prompt(40)
    reader.is_rounded = True
    cache = PrefixCache(reader)
    lengths_of_reply(cache, reader, ids, alike=True)
    longer = [*cache.ids, *prompt(20, seed=3)]
    assert lengths_of_reply(cache, reader, longer, alike=True)[0] == 44
    assert lengths_of_reply(cache, reader, [*ids[:30], 5, 6], alike=True)[0] == 0


def test_a_growing_cache_is_not_copied_for_every_token():
    reader, rooms = PlainReader(NET), set()
    reader.read(prompt(4))
    reader.read([1])

    def look(net, ids, inputs):
        keys = inputs["past_key_values"].layers[0].keys
        rooms.add(keys.untyped_storage().data_ptr())

    with NET.register_forward_pre_hook(look, with_kwargs=True):
        for _ in range(BLOCK):
            reader.read([1])
    assert len(rooms) == 1


def test_closing_lets_go_of_the_net():
    import gc
    import weakref

    net = tiny.llama()
    cache = PrefixCache(PlainReader(net))
    reply(cache, prompt(5), 2, net=net)
    gone = weakref.ref(net)
    del net
    cache.close()
    gc.collect()
    assert gone() is None
