"""The divergence of two nets: of numbers worked out by hand, and of a tiny checkpoint."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glmcli.config import Settings
from glmcli.engines.local.net.decode import PrefixCache
from glmcli.engines.local.net.divergence import Divergence
from glmcli.engines.local.net.open import open_model
from glmcli.measure.quality import compare, open_net
from glmcli.models.checkpoint import find_checkpoint
from tests.support import tiny
from tests.support.tiny_chat import tokenizer_of

TEXT = "The quick brown fox. 你好，世界。 def f(x): return x * 2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("checkpoint")
    tokenizer = tokenizer_of()
    tokenizer.save_pretrained(made)
    tiny.llama(len(tokenizer)).save_pretrained(made)
    return made


def compared(full: Settings, reduced: Settings) -> tuple[Divergence, list[tuple[int, int]]]:
    found, told = Divergence(), []
    compare(full, reduced, TEXT, found, lambda step: None, print, lambda *step: told.append(step))
    return found, told


def test_the_divergence_of_two_known_distributions():
    found = Divergence()
    assert found.result() is None
    one, other = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.5, 0.25])
    found.add(one.log(), other.log() + 7)  # scores may have any offset
    result = found.result()
    expected = 0.5 * math.log(2) + 0.25 * math.log(0.5)
    assert result.mean == result.p99 == result.worst == pytest.approx(expected)
    assert result.same_best == 0.0
    found.add(one.log(), one.log())
    assert found.result().mean == pytest.approx(expected / 2)
    assert found.result().same_best == 0.5


def test_a_token_that_cannot_follow_costs_nothing_unless_only_one_says_so():
    found = Divergence()
    never = torch.tensor([0.0, -math.inf])
    found.add(never, never)
    assert found.result().worst == 0.0
    found.add(torch.zeros(2), never)
    assert found.result().worst == math.inf


def test_the_99th_percentile_is_near_the_worst():
    found = Divergence()
    for size in range(101):
        found.add(torch.tensor([0.0, 0.0]), torch.tensor([size / 10, 0.0]))
    result = found.result()
    assert result.mean < result.p99 < result.worst
    expected = -math.log(2) + math.log(1 + math.exp(9.9)) - 9.9 / 2
    assert result.p99 == pytest.approx(expected)


def test_a_net_is_as_good_as_itself(folder):
    settings = Settings(model=str(folder), dtype="float32", threads=1, cache=folder)
    found, told = compared(settings, settings)
    result = found.result()
    assert (result.worst, result.same_best) == (0.0, 1.0)
    assert told[-1] == (2 * result.positions, 2 * result.positions)


def test_fewer_bits_are_judged_in_blocks_like_a_prompt_and_singly_like_a_reply(folder):
    full = Settings(model=str(folder), dtype="float32", threads=1, cache=folder)
    reduced = replace(full, dtype="bfloat16")
    result = compared(full, reduced)[0].result()
    assert 0 < result.mean < result.p99 <= result.worst < 1
    own = Divergence()
    rows = []
    for settings in (full, reduced):
        engine = open_net(settings, lambda step: None, print)
        ids = engine.ids(TEXT)
        checkpoint = find_checkpoint(str(folder), settings.model_options, lambda step: None)
        cache = PrefixCache(
            open_model(checkpoint, settings.model_options, lambda step: None).reader
        )
        half = len(ids) // 2
        block = cache.read_each(ids[:half], last=half)
        rows.append([*block, *(cache.read([token]) for token in ids[half:])])
    for one, other in zip(*rows, strict=True):
        own.add(one, other)
    assert own.result() == result


def test_a_text_beyond_the_window_is_read_as_far_as_it_goes(tmp_path):
    tokenizer = tokenizer_of()
    tokenizer.save_pretrained(tmp_path)
    tiny.llama(len(tokenizer), max_position_embeddings=20).save_pretrained(tmp_path)
    settings = Settings(model=str(tmp_path), dtype="float32", threads=1, cache=tmp_path)
    assert compared(settings, settings)[0].result().positions == 20
