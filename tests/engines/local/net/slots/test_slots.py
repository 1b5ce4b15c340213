"""Several conversations over one net: each is gone on with, and none changes what another says."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Event

import pytest
import torch

from glmcli.engines.local.net.decode import PrefixCache, decode, prefill
from glmcli.engines.local.net.fused.decoder import FusedNet
from glmcli.engines.local.net.plain.reader import PlainReader
from glmcli.engines.local.net.sampling.sampler import Sampler
from glmcli.engines.local.net.slots import slots as slots_module
from glmcli.engines.local.net.slots.slots import AT_ONCE, LOSS_TOKENS, Slots
from glmcli.errors import OutOfMemory
from glmcli.models.defaults import Defaults
from glmcli.types import GenerationParams
from tests.support import tiny
from tests.support.nets import IDS, SLOT, fused, opened, saved

GREEDY = GenerationParams(temperature=0.0)
ONE, TWO, THREE = IDS[:60], IDS[100:170], IDS[200:250]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    return fused(*opened(saved("llama", folder / "net"), folder))


def alone(net, **options):
    return FusedNet(net.plan, net.weights, **options)


def shared(net, limit=64 * SLOT, **options):
    slots = Slots(alone(net, **options), "cpu")
    slots.share(limit)
    return slots


def decoded(cache, ids, params=GREEDY, count=8):
    sampler = Sampler(params, Defaults(), ids)
    return decode(cache, ids, sampler, stop_ids=(), max_tokens=count, cancel=Event())


def reply(cache, ids, count=8):
    cache.keep(ids)
    for _ in prefill(cache, ids, Event()):
        pass
    return list(decoded(cache, ids, count=count))


def answer(slots, ids, count=8, **options):
    """How many ids were known, and the reply."""
    with slots.taken(ids, **options) as cache:
        return cache.kept(ids), reply(cache, ids, count=count)


def fresh(net, ids, count=8):
    return reply(PrefixCache(alone(net)), ids, count=count)


def test_two_in_turn_do_not_cost_each_other_their_history(net):
    slots = shared(net)
    said = {}
    for name, ids in (("one", ONE), ("two", TWO)):
        assert answer(slots, ids) == (0, fresh(net, ids))
        said[name] = ids + fresh(net, ids)
    for name in ("one", "two", "one", "two"):
        ids = said[name] + [5, 6, 7]
        known, found = answer(slots, ids)
        assert known == len(said[name]) - 1
        assert found == fresh(net, ids)
        said[name] = ids + found
    assert len(slots.tokens) == 2


@pytest.mark.parametrize("static", [False, True])
def test_a_beginning_that_many_share_is_read_once(net, static):
    slots = shared(net, static=static)
    for n, end in enumerate((ONE, TWO, THREE)):
        ids = IDS[:100] + end
        known, found = answer(slots, ids, count=LOSS_TOKENS)
        assert known >= (100 if n else 0)
        assert found == fresh(net, ids, LOSS_TOKENS)
    assert len(slots.tokens) == 3
    assert answer(slots, IDS[:100] + ONE + fresh(net, IDS[:100] + ONE, 8) + [3])[0] == 168


@pytest.mark.parametrize("lost", [LOSS_TOKENS, LOSS_TOKENS + 1])
def test_what_loses_little_goes_on_in_place(net, lost):
    slots = shared(net)
    answer(slots, IDS[:100], count=1)
    known, found = answer(slots, [*IDS[: 100 - lost], 7, 7])
    assert (known, found) == (100 - lost, fresh(net, [*IDS[: 100 - lost], 7, 7]))
    assert len(slots.tokens) == (1 if lost == LOSS_TOKENS else 2)


def test_a_slot_in_use_is_nobody_elses(net):
    slots = shared(net)
    answer(slots, ONE)
    with ExitStack() as stack:
        same = [stack.enter_context(slots.taken([*ONE, 9])) for _ in range(4)]
        assert len({id(cache) for cache in same}) == 4
        assert [cache.kept([*ONE, 9]) for cache in same] == [60] * 4  # copied all the same
        assert [reply(cache, [*ONE, 9]) for cache in same] == [fresh(net, [*ONE, 9])] * 4


def test_nor_is_one_that_is_empty(net):
    slots = shared(net)
    with slots.taken(ONE) as first, slots.taken(ONE) as second:
        assert first is not second


def test_a_copy_is_made_of_what_another_stream_has_read_so_far(net):
    slots = shared(net)
    with slots.taken(ONE) as cache:
        ids = decoded(cache, ONE, count=20)
        said = [next(ids) for _ in range(10)]
        prompt = [*ONE, *said[:8], 3, 4]
        known, found = answer(slots, prompt)
        assert (known, found) == (68, fresh(net, prompt))
        assert said + list(ids) == fresh(net, ONE, 20)


def test_the_least_recently_used_go_first_and_the_limit_holds(net):
    slots = shared(net, limit=3 * SLOT)
    prompts = [[n, *IDS[n * 50 : n * 50 + 40]] for n in range(5)]
    for ids in prompts[:3]:
        answer(slots, ids)
    answer(slots, prompts[0])  # used again
    assert slots.memory_bytes == 3 * SLOT
    for ids in prompts[3:]:
        assert answer(slots, ids) == (0, fresh(net, ids))
        assert slots.memory_bytes <= 3 * SLOT
    assert [answer(slots, ids)[0] > 0 for ids in (prompts[0], prompts[3], prompts[4])] == [True] * 3
    assert answer(slots, prompts[1])[0] == 0


def test_a_conversation_beyond_the_limit_is_kept_alone(net):
    slots = shared(net, limit=SLOT)
    answer(slots, TWO)
    assert answer(slots, IDS[:300])[0] == 0
    assert slots.tokens == [307]
    assert answer(slots, [*IDS[:300], 9])[0] == 300


def test_where_there_is_room_for_one_only_it_is_taken_whatever_it_loses(net):
    slots = shared(net, limit=SLOT)
    answer(slots, IDS[:100])
    ids = IDS[:20] + TWO
    assert answer(slots, ids) == (20, fresh(net, ids))
    assert slots.memory_bytes == SLOT


def test_those_in_use_are_not_forgotten_for_others(net):
    slots = shared(net, limit=SLOT)
    with slots.taken(ONE) as first:
        said = reply(first, ONE)
        assert answer(slots, TWO) == (0, fresh(net, TWO))
        assert first.ids == ONE + said[:-1]
    assert slots.memory_bytes <= SLOT


def test_no_more_are_taken_at_once_than_there_is_memory_for(net):
    slots = shared(net, limit=2 * SLOT)
    assert slots.at_once == AT_ONCE
    with slots.taken(ONE) as first:
        reply(first, ONE)
        assert slots.at_once == AT_ONCE
        with slots.taken(TWO) as second:
            reply(second, TWO)
            assert slots.at_once == 2
    assert slots.at_once == AT_ONCE


def test_the_limit_is_a_part_of_what_is_free_and_falls_with_it(net, monkeypatch):
    free = [40 * SLOT]
    monkeypatch.setattr(slots_module, "free_device_bytes", lambda device: free[0])
    slots = shared(net, limit=None)
    assert slots.limit == 10 * SLOT
    for n in range(8):
        answer(slots, [n, *IDS[n : n + 60]])
    assert len(slots.tokens) == 8
    free[0] = 0
    assert slots.limit == 2 * SLOT
    answer(slots, [9, *IDS[9:70]])
    assert slots.memory_bytes <= 2 * SLOT
    free[0] = None  # nobody knows
    assert slots.limit == slots_module.MOST_BYTES


def test_of_what_is_private_nothing_is_left(net):
    slots = shared(net)
    answer(slots, ONE)
    before, size = slots.tokens, slots.memory_bytes
    prompt = [*ONE, *TWO]
    with slots.taken(prompt, private=True) as cache:
        assert reply(cache, prompt) == fresh(net, prompt)
        assert slots.known(prompt) == 60
        assert slots.memory_bytes == 2 * size
        assert answer(slots, [*prompt, 1])[0] == 60  # nobody goes on with it meanwhile
        slots.clear()
    assert cache.ids == []
    answer(slots, ONE)
    assert slots.tokens == before
    assert slots.memory_bytes == size
    assert slots.known(prompt) == 60


def test_of_a_private_one_in_the_only_slot_nothing_is_left_either(net):
    slots = Slots(alone(net), "cpu")
    answer(slots, ONE, private=True)
    assert (slots.tokens, slots.memory_bytes) == ([0], 0)


def test_the_same_prompt_again_is_not_read_again(net):
    slots = shared(net)
    read, replies = [], []
    for ids in (ONE, TWO, ONE, [*ONE[:30], *TWO], ONE):
        with slots.taken(ids, alike=True) as cache:
            read.append(len(ids) - cache.keep(ids, alike=True))
            replies.append(list(decoded(cache, ids, count=40)))
    assert read == [60, 70, 0, 70, 0]
    assert replies[0] == replies[2] == replies[4]


def test_asked_again_and_again_it_takes_no_more_room(net):
    slots = shared(net)
    for _ in range(5):
        answer(slots, ONE, alike=True, count=LOSS_TOKENS + 9)
    assert len(slots.tokens) == 1


def test_when_memory_ends_what_nobody_uses_is_let_go(net):
    slots = shared(net)
    answer(slots, ONE)
    with slots.taken(TWO) as other:
        said = reply(other, TWO)
        with pytest.raises(OutOfMemory), slots.taken(THREE) as cache:
            reply(cache, THREE)
            cache.clear()
            raise OutOfMemory(None, None, what="the conversation")
        assert slots.memory_bytes == SLOT
        assert other.ids == TWO + said[:-1]
    assert answer(slots, ONE) == (0, fresh(net, ONE))


def test_when_memory_ends_for_a_copy_the_next_one_finds_room(net, monkeypatch):
    slots = shared(net)
    answer(slots, ONE)

    def full(self, tokens, room):
        raise torch.OutOfMemoryError("out of memory")

    with slots.taken(TWO) as other:
        said = reply(other, TWO)
        monkeypatch.setattr(FusedNet, "fork", full)
        with pytest.raises(OutOfMemory):
            answer(slots, THREE)
        assert slots.memory_bytes == SLOT
        assert other.ids == TWO + said[:-1]
    with pytest.raises(OutOfMemory):
        answer(slots, THREE)
    assert answer(slots, THREE) == (0, fresh(net, THREE))


def test_a_net_that_cannot_be_forked_has_one_slot():
    slots = Slots(PlainReader(tiny.llama()), "cpu")
    slots.share(None)
    assert (slots.at_once, slots.limit) == (1, None)
    with slots.taken(ONE) as first:
        pass
    with slots.taken(TWO) as second:
        assert first is second


def test_before_it_is_shared_there_is_one_slot(net):
    slots = Slots(alone(net), "cpu")
    assert (slots.at_once, slots.limit) == (1, None)
    answer(slots, ONE)
    assert answer(slots, TWO) == (0, fresh(net, TWO))
    assert slots.tokens == [77]


def test_closed_it_has_let_go_of_everything(net):
    slots = shared(net)
    for ids in (ONE, TWO):
        answer(slots, ids)
    slots.close()
    assert slots.memory_bytes == 0
