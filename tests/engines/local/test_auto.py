"""`--quantize auto` with real nets; how much memory is free is what the tests say."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from threading import Event

import pytest

from glmcli import machine
from glmcli.config import load_settings
from glmcli.config.models import IN_FULL
from glmcli.engines import open_alone, open_engine
from glmcli.engines.local.auto import open_as_asked
from glmcli.errors import OutOfMemory
from glmcli.models.bits import needed_bytes
from glmcli.types import GenerationParams, Message
from tests.support import tiny
from tests.support.nets import IDS, opened, saved
from tests.support.tiny_chat import TOKENIZER


@pytest.fixture
def chosen(tmp_path):
    """`chosen(**options)`: a tiny net that is to be opened in as many bits as fit."""

    def make(**options):
        folder = saved("llama", tmp_path / "net")
        return opened(folder, tmp_path, quantize="auto", **options)

    return make


@pytest.fixture
def free(monkeypatch):
    """`free(bytes, …)`: how much memory is free at each look; the last stays."""

    def say(*sizes):
        left = list(sizes)
        monkeypatch.setattr(
            machine, "free_bytes", lambda: left.pop(0) if len(left) > 1 else left[0]
        )

    return say


def sizes(checkpoint):
    """Bytes of the weights in full and in int8."""
    return [
        needed_bytes(checkpoint.tensors, checkpoint.config, "float32", bits)
        for bits in (IN_FULL, "int8")
    ]


def asked(checkpoint, options):
    return open_as_asked(checkpoint, options, lambda progress: None)


def test_without_it_nothing_is_chosen_nor_said(chosen):
    checkpoint, options = chosen()
    net, lines = asked(checkpoint, replace(options, quantize=IN_FULL))
    assert (net.device, lines) == ("cpu float32", [])


def test_it_takes_what_fits(chosen, free):
    checkpoint, options = chosen()
    full, few = sizes(checkpoint)
    free(2 * full)
    net, lines = asked(checkpoint, options)
    assert net.device == "cpu float32"
    assert [line.partition(":")[0] for line in lines] == ["--quantize auto takes float32"]
    free(full)  # no room to work in
    net, lines = asked(checkpoint, options)
    assert net.device == "cpu int8"
    assert net.reader.read(IDS[:9]) is not None
    assert [line.partition(":")[0] for line in lines] == ["--quantize auto takes int8"]
    free(few // 2)
    with pytest.raises(OutOfMemory) as caught:
        asked(checkpoint, options)
    assert caught.value.needed == few


def test_it_is_said_by_whoever_loads_the_model_or_else_with_the_first_reply(tmp_path):
    tiny.llama(len(TOKENIZER)).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    settings = load_settings({"model": str(tmp_path), "quantize": "auto"}, environ={})
    asked = [Message("user", "hi")], GenerationParams(max_tokens=1), Event()
    lines = []
    with closing(open_alone(settings, print, tell=lines.append)) as engine:
        assert [chunk.notice for chunk in engine.stream(*asked) if chunk.notice] == []
    with closing(open_engine(settings, print)) as engine:
        replies = [[each.notice for each in engine.stream(*asked) if each.notice] for _ in "12"]
    assert [line.partition(":")[0] for line in lines] == ["--quantize auto takes float32"]
    assert [len(notices) for notices in replies] == [1, 0]


def test_what_others_took_meanwhile_makes_it_take_the_next(chosen, free):
    checkpoint, options = chosen()
    full, few = sizes(checkpoint)
    asked(checkpoint, replace(options, quantize="int8"))  # proven
    free(2 * full, (full + few) // 2)
    net, lines = asked(checkpoint, options)
    assert net.device == "cpu int8"
    assert lines[0].startswith("float32 did not fit into memory: ") and len(lines) == 2


def test_a_first_start_in_fewer_bits_says_what_it_needs_once(chosen, free):
    checkpoint, options = chosen()
    full, few = sizes(checkpoint)
    free((full + few) // 2)
    with pytest.raises(OutOfMemory, match="the first start in int8, which checks it") as caught:
        asked(checkpoint, options)
    assert caught.value.needed == full
    assert "gguf:" in caught.value.hint


def test_where_there_is_no_code_for_fewer_bits_it_does_not_fit(chosen, free):
    checkpoint, options = chosen(fused="off")
    full, _ = sizes(checkpoint)
    free(full)
    with pytest.raises(OutOfMemory) as caught:
        asked(checkpoint, options)
    assert "cannot be quantised on the processor" in caught.value.hint
