"""What a model takes of the machine, from a tiny checkpoint, and what the machine can do."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net import meter
from tests.support import tiny
from tests.support.tiny_chat import tokenizer_of


def saved(folder, **changes):
    tokenizer = tokenizer_of()
    tokenizer.save_pretrained(folder)
    net = tiny.llama(len(tokenizer), **changes)
    net.save_pretrained(folder)
    return net


def engine(device, **more):
    return SimpleNamespace(device=device, **more)


def test_weights_are_counted_as_they_are_loaded_without_the_table_of_embeddings(tmp_path):
    net = saved(tmp_path, tie_word_embeddings=False)
    read = sum(item.numel() for item in net.parameters()) - net.model.embed_tokens.weight.numel()
    assert meter.weight_bytes(engine("cpu float32"), str(tmp_path), ModelOptions()) == 4 * read
    assert meter.weight_bytes(engine("cuda bfloat16"), str(tmp_path), ModelOptions()) == 2 * read
    assert meter.weight_bytes(engine("cpu strange"), str(tmp_path), ModelOptions()) is None


def test_a_table_that_is_the_head_too_is_read_as_a_whole(tmp_path):
    net = saved(tmp_path, tie_word_embeddings=True)
    numbers = sum(item.numel() for item in net.parameters())
    assert meter.weight_bytes(engine("cpu float32"), str(tmp_path), ModelOptions()) == 4 * numbers


def test_an_engine_knows_best():
    known = engine("cpu int8", weight_bytes=77)
    assert meter.weight_bytes(known, "./nowhere", ModelOptions()) == 77


def test_the_bandwidth_is_that_of_a_memory():
    assert 1e8 < meter.bandwidth("cpu") < 1e13
    assert meter.bandwidth("mps") is None


def test_the_quickest_try_counts():
    calls = []
    seconds = meter.shortest(lambda: calls.append(1))
    assert len(calls) == meter.REPEATS + 1
    assert 0 <= seconds < 0.1


def test_the_peak_grows_with_what_is_held_and_stays():
    before = meter.peak_bytes()
    held = torch.ones(64 << 20, dtype=torch.uint8)
    grown = meter.peak_bytes()
    assert grown >= before
    assert grown >= held.nbytes
    del held
    assert meter.peak_bytes() >= grown
    assert meter.device_peak_bytes("cpu") is None
