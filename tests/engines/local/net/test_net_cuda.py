"""What runs on a CUDA GPU says what the processor says; only where there is one."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from glmcli.config import Settings, load_settings
from glmcli.engines import open_engine
from glmcli.engines.local.engine import LocalEngine
from glmcli.engines.local.net.decode import PrefixCache
from glmcli.engines.local.net.fused import verdict
from glmcli.engines.local.net.fused.open import open_fused
from glmcli.engines.local.net.fused.small.plain import small_for
from glmcli.engines.local.net.reader import GPU_BLOCK, free_memory
from glmcli.errors import OutOfMemory
from glmcli.types import Chunk, GenerationParams, Message
from tests.support.chatglm_data import folder_of
from tests.support.nets import FAMILIES, IDS, fused, net_of, opened, saved, wanted

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")

TALKER = "talker-tiny-32k-safetensors"


def settings_for(device: str, tmp_path: Path, **options: Any) -> Settings:
    options = {"device": device, "model": str(folder_of(TALKER)), **options}
    return load_settings(options, environ={"GLM_CACHE": str(tmp_path / "cache")})


def opened_on(device: str, tmp_path: Path, **options: Any) -> LocalEngine:
    """The talking test model on a device."""
    engine = open_engine(settings_for(device, tmp_path, **options), lambda progress: None)
    assert isinstance(engine, LocalEngine)
    return engine


def asked(engine: LocalEngine, *texts: str, cancel: Event | None = None, **params: Any):
    """Every chunk of the reply to a conversation."""
    roles = ("user", "assistant")
    messages = [Message(roles[index % 2], text) for index, text in enumerate(texts)]
    options = {"max_tokens": 40, "temperature": 0.0, **params}
    return list(engine.stream(messages, GenerationParams(**options), cancel or Event()))


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize("name", FAMILIES)
def test_scores_equal_those_of_transformers_at_every_place(name: str, tmp_path: Path):
    """In blocks, and one by one as a graph that is made anew when the memory grows."""
    reader = fused(*opened(saved(name, tmp_path / "net"), tmp_path, device="cuda"))
    scores = [reader.read(IDS[:100], 100), reader.read(IDS[100:230], 130)]
    scores += [reader.read([token]) for token in IDS[230:]]
    expected = wanted(net_of(name), IDS)
    assert float((torch.cat(scores).cpu() - expected).abs().max()) < 1e-3 * float(expected.std())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_kernels_between_the_products_are_used(dtype: torch.dtype):
    kernels, why = small_for(torch.device("cuda"), dtype)
    assert (type(kernels).__name__, why) == ("TritonSmall", "")


def test_going_back_and_growing_change_nothing_of_what_a_graph_replays(tmp_path: Path):
    reader = fused(*opened(saved("llama", tmp_path / "net"), tmp_path, device="cuda"))
    one_by_one = torch.cat([reader.read([token]) for token in IDS[:300]]).cpu()
    assert reader.rewind(7)
    again = torch.cat([reader.read([token]) for token in IDS[7:300]]).cpu()
    assert torch.allclose(again, one_by_one[7:], atol=1e-3)
    assert torch.allclose(one_by_one, wanted(net_of("llama"), IDS[:300]), atol=1e-2)


def test_a_chat_says_what_the_processor_says(tmp_path: Path):
    """Three turns, of which each finds the last ones read."""
    here, there = (opened_on(device, tmp_path, dtype="float32") for device in ("cpu", "cuda"))
    assert there.device.startswith("cuda:")
    turns = ["hello"]
    for question in ("and then?", "what is that?", "why?"):
        ours, theirs = asked(there, *turns), asked(here, *turns)
        assert text_of(ours) == text_of(theirs)
        if len(turns) > 1:
            assert ours[-1].usage is not None and ours[-1].usage.cached_tokens
        turns += [text_of(ours) or "nothing", question]


def test_attention_needs_no_plan_for_every_length(tmp_path: Path):
    """cuDNN makes one, in 50 ms; the others' kernels take any length as it comes."""
    opened_on("cuda", tmp_path)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    reader = fused(*opened(saved("llama", tmp_path / "net"), tmp_path, device="cuda"))
    assert reader.block == GPU_BLOCK
    assert PrefixCache(reader).block == GPU_BLOCK


def test_a_stop_ends_the_reply_at_the_next_token(tmp_path: Path):
    engine, cancel = opened_on("cuda", tmp_path), Event()
    messages = [Message("user", "hello")]
    seen = []
    for chunk in engine.stream(messages, GenerationParams(max_tokens=400), cancel):
        seen.append(chunk)
        if chunk.tokens:
            cancel.set()
    assert seen[-1].finish_reason == "cancelled"
    assert sum(chunk.tokens for chunk in seen) <= 2


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_fewer_bits_answer_and_are_kept(bits: str, tmp_path: Path):
    first = asked(opened_on("cuda", tmp_path, quantize=bits), "hello")
    again = asked(opened_on("cuda", tmp_path, quantize=bits), "hello")
    assert text_of(first) == text_of(again) != ""


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_fewer_bits_run_in_the_graph_by_kernels_and_say_what_plain_torch_says(
    bits: str, tmp_path: Path
):
    folder = saved("llama", tmp_path / "net")
    scores = []
    for device in ("cuda", "cpu"):
        checkpoint, options = opened(folder, tmp_path, device=device, quantize=bits)
        model = open_fused(checkpoint, options, lambda progress: None)
        assert model.device.endswith(bits)
        assert "no kernel" not in model.runner
        parts = [model.reader.read(IDS[:40], 40), model.reader.read(IDS[40:45], 5)]
        parts += [model.reader.read([token]) for token in IDS[45:60]]
        scores.append(torch.cat(parts).cpu())
    assert float((scores[0] - scores[1]).norm() / scores[1].norm()) < 0.02


def test_weights_too_large_in_full_are_proven_on_the_processor(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(verdict, "has_room_in_full", lambda *_: False)
    checkpoint, options = opened(
        saved("llama", tmp_path / "net"), tmp_path, device="cuda", quantize="int4"
    )
    model = open_fused(checkpoint, options, lambda progress: None)
    assert model.device.startswith("cuda")
    model.reader.read(IDS[:9])


def test_a_prompt_that_does_not_fit_the_memory_leaves_a_net_that_answers(tmp_path: Path):
    """This process may have no more of the GPU's memory than it has, for the moment."""
    checkpoint, options = opened(saved("llama", tmp_path / "net"), tmp_path, device="cuda")
    cache = PrefixCache(fused(checkpoint, options))
    expected = cache.read(IDS[:9]).cpu()
    free_memory()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 1) / total)
    try:
        with pytest.raises(OutOfMemory):
            cache.read([5] * 100_000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert cache.ids == []
    assert torch.allclose(cache.read(IDS[:9]).cpu(), expected, atol=1e-3)
