"""Guesses make replies quicker and change nothing in them."""

import math
from collections import Counter
from threading import Event

import pytest
import torch

from glmcli.engines.local.net.decode import PrefixCache, decode
from glmcli.engines.local.net.lookup import GUESSES, PRICE, STAKE, Always, Lookup, WherePaid
from glmcli.engines.local.net.plain.reader import PlainReader, Reading, ReadingWay
from glmcli.engines.local.net.reader import BLOCK, FEW_ROWS
from glmcli.engines.local.net.sampling.sampler import Sampler
from glmcli.models.defaults import Defaults
from glmcli.types import GenerationParams
from tests.support import tiny
from tests.support.families import tiny_net
from tests.support.nets import fused, opened, saved

NETS = {"llama": tiny.llama(), "sliding": tiny.sliding()}
PROMPT = [7, 8, 9, 10, 11, 7, 8, 9]


@pytest.fixture(scope="module")
def fused_net(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fused")
    return fused(*opened(saved("llama", folder / "net"), folder))


class Counting(PrefixCache):
    """Counts how often the net runs."""

    reads = 0

    def read_each(self, ids, *, last):
        self.reads += 1
        return super().read_each(ids, last=last)


def reply(
    reader, ids, *, speculate, count=60, stop_ids=(), cancel_after=None, params=None, before=()
):
    """`before` is what the guesses know beside the prompt."""
    reader.forget()
    cache, cancel = Counting(reader), Event()
    sampler = Sampler(params or GenerationParams(temperature=0.0), Defaults(), ids)
    stream = decode(
        cache,
        ids,
        sampler,
        stop_ids=stop_ids,
        max_tokens=count,
        cancel=cancel,
        lookup=Lookup([*before, *ids]) if speculate else None,
    )
    found = []
    while True:
        try:
            found.append(next(stream))
        except StopIteration as end:
            return found, end.value, cache
        if len(found) == cancel_after:
            cancel.set()


def reader_of(name, fused_net):
    return fused_net if name == "fused" else PlainReader(NETS[name])


@pytest.mark.parametrize("name", ["fused", *NETS])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_replies_are_the_same_in_fewer_steps(name, seed, fused_net):
    reader = reader_of(name, fused_net)
    ids = torch.randint(0, 430, (20,), generator=torch.Generator().manual_seed(seed)).tolist() * 2
    plain, why, _ = reply(reader, ids, speculate=False)
    guessed, also_why, cache = reply(reader, ids, speculate=True)
    assert (guessed, also_why) == (plain, why)
    assert cache.reads <= len(plain)


class Counter10:
    """A net that counts from 0 to 9 over and over."""

    whole_beyond, can_rewind, is_rounded = math.inf, True, False
    block = BLOCK
    memory_bytes = 0

    def read(self, ids, last=1):
        following = torch.tensor([(token + 1) % 10 for token in ids[-last:]])
        return torch.nn.functional.one_hot(following, 10).float()

    def rewind(self, tokens):
        return True

    def forget(self):
        pass


def test_a_reply_that_repeats_itself_takes_few_steps():
    plain, _, slow = reply(Counter10(), [0, 1], speculate=False, count=200)
    guessed, _, quick = reply(Counter10(), [0, 1], speculate=True, count=200)
    assert guessed == plain == [number % 10 for number in range(2, 202)]
    assert slow.reads == 200
    assert quick.reads <= 12 + 200 // GUESSES


@pytest.mark.parametrize("name", ["fused", "llama"])
@pytest.mark.parametrize("after", [1, 2, 5, 17, 40])
def test_what_is_kept_after_cancelling_is_what_was_said(name, after, fused_net):
    reader = reader_of(name, fused_net)
    ids = [*PROMPT] * 12
    plain, _, _ = reply(reader, ids, speculate=False, count=80)
    said, why, cache = reply(reader, ids, speculate=True, count=80, cancel_after=after)
    assert why == "cancelled"
    assert said == plain[:after]
    assert [*ids, *said][: len(cache.ids)] == cache.ids
    assert len(cache.ids) >= len(ids) + len(said) - 1


@pytest.mark.parametrize("name", ["fused", "llama"])
def test_an_end_or_a_limit_within_the_guesses_is_kept(name, fused_net):
    reader = reader_of(name, fused_net)
    ids = [*PROMPT] * 12
    plain, _, _ = reply(reader, ids, speculate=False, count=80)
    for count in (1, 2, 3, 9, 30):
        assert reply(reader, ids, speculate=True, count=count)[:2] == (plain[:count], "length")
    for token in Counter(plain):
        end = plain.index(token)
        said, why, cache = reply(reader, ids, speculate=True, count=80, stop_ids=(token,))
        assert (said, why) == (plain[:end], "stop")
        assert [*ids, *said][: len(cache.ids)] == cache.ids


@pytest.mark.parametrize("name", ["fused", "llama"])
@pytest.mark.parametrize("seed", range(6))
def test_sampled_replies_of_a_seed_are_the_same(name, seed, fused_net):
    """Each id is drawn from the same distribution with the same random numbers."""
    reader = reader_of(name, fused_net)
    params = GenerationParams(temperature=0.7, top_k=20, repetition_penalty=1.1, seed=seed)
    ids = [*PROMPT] * 12
    plain = reply(reader, ids, speculate=False, params=params)[:2]
    assert reply(reader, ids, speculate=True, params=params)[:2] == plain


DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
BORDER = 60


@pytest.mark.parametrize("size", [40, 80])
def test_nothing_is_guessed_where_each_id_turns_otherwise(size):
    net = tiny_net("llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": BORDER})
    reader = PlainReader(net, Reading(border=BORDER, beyond=ReadingWay.WHOLE))
    ids = torch.randint(6, 300, (size,), generator=torch.Generator().manual_seed(4)).tolist()
    plain = reply(reader, ids, speculate=False)[0]
    guessed, _, cache = reply(reader, ids, speculate=True, before=[*ids, *plain])
    assert guessed == plain
    within = max(0, BORDER - size)
    assert len(plain) - within <= cache.reads <= len(plain) - within // 2


@pytest.mark.parametrize("way", [ReadingWay.WHOLE, ReadingWay.ANEW])
def test_nothing_is_guessed_where_no_text_is_read_in_parts(way):
    reader = PlainReader(NETS["llama"], Reading(way))
    plain, _, _ = reply(reader, PROMPT, speculate=False)
    guessed, _, cache = reply(reader, PROMPT, speculate=True, before=[*PROMPT, *plain])
    assert guessed == plain
    assert cache.reads == len(plain)


def test_guesses_follow_the_last_time():
    lookup = Lookup([1, 2, 3, 4, 5, 1, 2, 3, 6, 1, 2, 3])
    assert lookup.guess() == [6, 1, 2, 3]
    lookup.add(4)
    assert lookup.guess() == [5, 1, 2, 3, 6, 1, 2, 3][:GUESSES]
    assert Lookup([1, 2, 3, 4]).guess() == []
    assert Lookup([1, 2]).guess() == []


def time_of(paid, price, right_of, tokens=400):
    """How long a reply takes, in steps: a guess costs `price`, and so many of 8 are right."""
    taken, said, step = 0.0, 0, 0
    while said < tokens:
        guesses = min(paid.most(), tokens - said - 1)
        right = min(guesses, right_of(step))
        seconds = 1 + price * guesses
        paid.learn(guesses, right, seconds)
        taken, said, step = taken + seconds, said + right + 1, step + 1
    return taken / tokens


@pytest.mark.parametrize("price", [0.02, 0.1, 0.3, 1.0, 4.0])
def test_guesses_that_are_wrong_cost_a_hundredth_beside_the_first(price):
    first = price * STAKE / PRICE
    assert time_of(WherePaid(), price, lambda step: 0) <= 1.011 + first / 400


@pytest.mark.parametrize("price", [0.02, 0.1, 0.3])
def test_guesses_that_are_right_are_made_from_the_beginning(price):
    assert time_of(WherePaid(), price, lambda step: GUESSES) < 0.15 + price


@pytest.mark.parametrize("price", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("share", [2, 5, 10])
def test_guesses_that_are_right_now_and_then_never_make_a_reply_slower(price, share):
    one_in = time_of(WherePaid(), price, lambda step: GUESSES * (step % share == 0))
    assert one_in <= 1.01


def test_what_was_saved_in_one_reply_is_not_lost_in_the_next():
    paid = WherePaid()
    time_of(paid, 0.1, lambda step: GUESSES)
    assert time_of(paid, 0.1, lambda step: 0) <= 1.02


def test_a_pause_in_a_step_ends_no_guessing_for_good():
    paid = WherePaid()
    time_of(paid, 0.1, lambda step: GUESSES)
    paid.learn(0, 0, 1.0)
    paid.learn(GUESSES, 0, 100.0)
    for _ in range(400):
        paid.learn(0, 0, 1.0)
    assert time_of(paid, 0.1, lambda step: GUESSES) < 0.5


def test_whether_guesses_may_be_checked_is_asked_once_and_only_if_there_are_some():
    asked = []
    paid = WherePaid(lambda: bool(asked.append(1)))
    lookup = Lookup([1, 2, 3, 4], paid)
    assert lookup.guess() == [] and not asked
    lookup.took(1.0)
    for token in (1, 2, 3, 4, 1, 2, 3):
        lookup.add(token)
        assert lookup.guess() == []
    assert asked == [1]


def test_a_lookup_learns_how_many_guesses_were_right():
    learned = []
    paid = Always()
    paid.learn = lambda *what: learned.append(what)
    lookup = Lookup([1, 2, 3, 4, 5, 6, 1, 2, 3], paid)
    assert lookup.guess(3) == [4, 5, 6] and not lookup.is_alone
    lookup.took(2.0)
    for token in (4, 5, 9):
        lookup.add(token)
    assert lookup.guess() == [] and lookup.is_alone
    lookup.took(1.0)
    lookup.add(8)
    lookup.guess()
    assert learned == [(3, 2, 2.0), (0, 0, 1.0)]


def test_no_more_is_guessed_than_is_read_alike():
    assert 1 + GUESSES <= FEW_ROWS


def test_while_there_are_other_things_to_find_out_nothing_is_guessed():
    is_busy = True
    lookup = Lookup([1, 2, 3, 4, 1, 2, 3], waits=lambda: is_busy)
    assert lookup.guess() == [] and lookup.is_alone
    is_busy = False
    assert lookup.guess() == [4, 1, 2, 3]
