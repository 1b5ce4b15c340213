"""Several texts that one net goes on with at once: each as if it were alone."""

from dataclasses import replace

import pytest
import torch

from glmcli.engines.local.net.fused.decoder import FIRST_TOKENS, FusedNet
from glmcli.engines.local.net.fused.rows import POOL_TOKENS, Rows, rows_over
from glmcli.engines.local.net.plain.reader import PlainReader
from tests.support.nets import FAMILIES, IDS, PER_TOKEN, fused, net_of, opened, saved, wanted


@pytest.fixture
def net(tmp_path):
    return fused(*opened(saved("llama", tmp_path / "net"), tmp_path))


def begun(net, rows, ids):
    """A row of a text that the net has read for it."""
    net.rewind(0)
    net.read(ids)
    return rows.add()


def texts(*sizes):
    """Different texts of so many ids."""
    return [IDS[size % 7 :][:size] for size in sizes]


def go_on(rows, going, steps):
    """Read `steps` further ids in each of `going`, a row: its text. Returns the scores by row."""
    scores = {row: [] for row in going}
    for _ in range(steps):
        new = {}
        for row, ids in going.items():
            assert rows.reserve(row)
            new[row] = IDS[(7 * len(ids)) % 300]
            ids.append(new[row])
        for row, after in rows.step(new):
            scores[row].append(after)
    return {row: torch.stack(each) for row, each in scores.items()}


def check(name, going, scores):
    for row, ids in going.items():
        expected = wanted(net_of(name), ids)[-len(scores[row]) :]
        assert float((scores[row] - expected).abs().max()) < 1e-4 * float(expected.std())
        assert row.tokens == len(ids)


@pytest.mark.parametrize("by_products", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_scores_of_each_text_are_those_of_transformers(name, by_products, tmp_path):
    """Short and long ones together, and one that outgrows its space."""
    net = fused(*opened(saved(name, tmp_path / "net"), tmp_path))
    rows = Rows(net, by_products=by_products)
    going = {begun(net, rows, ids): ids for ids in texts(1, 40, FIRST_TOKENS - 3, 300)}
    check(name, going, go_on(rows, going, 8))


@pytest.mark.parametrize("by_products", [False, True])
def test_bfloat16_is_as_exact_as_one_by_one(by_products, tmp_path):
    """Rounding differs with the number of rows; neither is further from float32."""
    net = fused(*opened(saved("llama", tmp_path / "net"), tmp_path, dtype="bfloat16"))
    rows = Rows(net, by_products=by_products)
    going = {begun(net, rows, ids): ids for ids in texts(40, 90, 200)}
    scores = go_on(rows, going, 20)
    ours = theirs = 0.0
    for row, ids in going.items():
        exact = wanted(net_of("llama"), ids)[-20:]
        net.rewind(0)
        net.read(ids[:-20])
        one_by_one = torch.cat([net.read([token]) for token in ids[-20:]])
        ours += float((scores[row] - exact).norm())
        theirs += float((one_by_one - exact).norm())
    assert ours < 1.1 * theirs


@pytest.mark.parametrize("gone", range(4))
def test_as_one_ends_the_others_go_on_and_another_takes_its_place(gone, net):
    rows = Rows(net)
    going = {begun(net, rows, ids): ids for ids in texts(5, 60, 9, 33)}
    go_on(rows, going, 3)
    ended = list(going)[gone]
    rows.remove(ended)
    del going[ended]
    going[begun(net, rows, IDS[:21])] = IDS[:21]
    check("llama", going, go_on(rows, going, 3))


def test_numbers_that_are_none_stay_in_their_text(net):
    """One that overflowed, and the one that gets its place."""
    rows = Rows(net)
    bad = begun(net, rows, IDS[:9])
    good = {begun(net, rows, ids): ids for ids in texts(30, 12)}
    sound = net.weights
    broken = sound.embedding.clone()
    broken[3] = torch.nan
    net.weights = replace(sound, embedding=broken)
    new = dict.fromkeys(good, 5) | {bad: 3}
    found = dict(rows.step(new))
    assert not torch.isfinite(found[bad]).any()
    net.weights = sound
    for ids in good.values():
        ids.append(5)
    rows.remove(bad)
    good[begun(net, rows, IDS[:4])] = IDS[:4]
    check("llama", good, go_on(rows, good, 2))


def test_a_step_that_fails_has_read_nothing(net):
    rows = Rows(net)
    going = {begun(net, rows, ids): ids for ids in texts(5, 20)}
    sound = net.weights

    def fail(x):
        raise RuntimeError("broken")

    net.weights = replace(sound, head=fail)
    with pytest.raises(RuntimeError, match="broken"):
        rows.step(dict.fromkeys(going, 1))
    net.weights = sound
    check("llama", going, go_on(rows, going, 2))


def test_memory_is_taken_by_the_pool_and_given_back(net):
    rows = Rows(net)
    size = POOL_TOKENS * PER_TOKEN
    assert rows.memory_bytes == 0
    going = [begun(net, rows, IDS[:9]) for _ in range(POOL_TOKENS // FIRST_TOKENS + 1)]
    assert rows.memory_bytes == 2 * size
    rows.remove(going.pop())
    assert rows.memory_bytes == size
    rows.clear()
    assert rows.memory_bytes == 0


def test_for_few_texts_little_memory_is_taken(net):
    rows = rows_over(net, 2)
    for _ in range(2):
        begun(net, rows, IDS[:9])
    assert rows.memory_bytes == 2 * FIRST_TOKENS * PER_TOKEN


def test_a_limit_keeps_texts_out_but_not_the_only_one(net):
    rows = Rows(net, 2 * FIRST_TOKENS * PER_TOKEN)
    first, second = (begun(net, rows, IDS[:size]) for size in (9, FIRST_TOKENS - 1))
    assert not rows.has_space(9)
    assert begun(net, rows, IDS[:9]) is None
    assert rows.reserve(second)
    rows.step({first: 1, second: 1})
    assert not rows.reserve(second)  # twice the space for it is too much beside the other
    rows.remove(first)
    assert rows.reserve(second)
    assert rows.has_space(9) is False


def test_a_device_without_memory_for_a_text_says_so(net, monkeypatch):
    rows = Rows(net)
    begun(net, rows, IDS[: FIRST_TOKENS + 1])

    def full(*size):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch.Tensor, "new_zeros", lambda self, *size: full())
    row = begun(net, rows, IDS[:9])
    assert row is None
    monkeypatch.undo()
    assert not rows.has_space(9)  # and is not asked again


def test_space_is_never_larger_than_the_window(tmp_path):
    net = fused(*opened(saved("llama", tmp_path / "net"), tmp_path))
    net = FusedNet(replace(net.plan, window=300), net.weights)
    rows = Rows(net, 10**9)
    begun(net, rows, IDS[:299])
    assert rows.memory_bytes == POOL_TOKENS // 300 * 300 * PER_TOKEN


def test_nets_of_transformers_read_one_text_at_a_time(net):
    assert rows_over(PlainReader(net_of("llama"))) is None
    assert isinstance(rows_over(net), Rows)
