"""Weights in fewer bits: bitsandbytes' own code for processors stands in for that for GPUs."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from glmcli.config.models import Cache, ModelOptions
from glmcli.engines.local.net.bitsandbytes import check_library
from glmcli.engines.local.net.load import load_errors
from glmcli.engines.local.net.placement import Placement, place_weights
from glmcli.engines.local.net.plain.bins import bin_tensors
from glmcli.engines.local.net.plain.open import load_in_any_bits
from glmcli.engines.local.net.plain.reader import PlainReader, model_of
from glmcli.errors import ConfigError, OutOfMemory
from glmcli.models.checkpoint import find_checkpoint
from tests.support.chatglm_data import folder_of
from tests.support.folders import Reports, write_config

IDS = [(7 * index) % 90 for index in range(40)]
WEIGHTS_APART = {"int8": 0.02, "int4": 0.12}
"""How far quantised weights may be from those in full, relative to their size."""
SCORES_APART = {"int8": 0.2, "int4": 0.8}
"""The same for scores; random nets exaggerate, and a wrong matrix gives 1.4."""
SMALL = {
    "vocab_size": 96,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
}
bits = pytest.mark.parametrize("bits", ["int8", "int4"])


@pytest.fixture
def options(tmp_path: Path) -> ModelOptions:
    return ModelOptions(
        device="cpu", dtype="float32", cache=Cache(tmp_path / "cache"), offline=True
    )


def write_net(kind: str, folder: Path, **changes: Any) -> Path:
    """A random net of a family that transformers has, as safetensors."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**(SMALL | changes))
    getattr(transformers, f"{kind}ForCausalLM")(config).save_pretrained(folder)
    return folder


def write_chatglm(folder: Path, weights: str) -> Path:
    """A ChatGLM whose MLP has zeros added: bitsandbytes takes whole blocks of 64 on processors."""
    folder.mkdir()
    source = folder_of("tiny-6b-safetensors")
    config = json.loads((source / "config.json").read_text())
    narrow, wide = config["ffn_hidden_size"], 192
    (folder / "config.json").write_text(json.dumps(config | {"ffn_hidden_size": wide}))
    tensors = load_file(source / "model.safetensors")
    for name, tensor in tensors.items():
        if "dense_h_to_4h" in name:
            halves = tensor.new_zeros(2, wide, tensor.shape[1])
            halves[:, :narrow] = tensor.view(2, narrow, -1)
            tensors[name] = halves.flatten(0, 1)
        elif "dense_4h_to_h" in name:
            tensors[name] = torch.nn.functional.pad(tensor, (0, wide - narrow))
    write = save_file if weights.endswith(".safetensors") else torch.save
    write(tensors, folder / weights)
    return folder


def folder_for(kind: str, folder: Path) -> Path:
    match kind:
        case "ChatGLM":
            return write_chatglm(folder, "model.safetensors")
        case "ChatGLM in .bin files":
            return write_chatglm(folder, "pytorch_model.bin")
        case "tied":
            return write_net("Llama", folder, tie_word_embeddings=True)
        case "Mixtral":
            return write_net(kind, folder, num_local_experts=4)
    return write_net(kind, folder)


def load(folder: Path, options: ModelOptions, **changes: Any) -> Any:
    options = replace(options, **changes)
    return load_in_any_bits(find_checkpoint(str(folder), options, Reports()), options, Reports())


def scores(net: Any) -> torch.Tensor:
    with torch.inference_mode():
        return net(torch.tensor([IDS])).logits[0].float()


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / (wanted - wanted.mean(-1, keepdim=True)).norm())


def linears(net: Any) -> dict[str, torch.Tensor]:
    """The quantised matrices of a net that has read nothing yet, as they multiply."""
    from bitsandbytes import functional, nn

    found = {}
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear8bitLt):
            found[name] = functional.int8_vectorwise_dequant(layer.weight.data, layer.weight.SCB)
        elif isinstance(layer, nn.Linear4bit):
            found[name] = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return found


def kept(options: ModelOptions) -> list[Path]:
    """What is in the cache of quantised nets, hidden things too."""
    return sorted((options.cache.folder / "quantized").glob("*"))


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """As on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


KINDS = ("Llama", "tied", "Mixtral", "Qwen3", "ChatGLM", "ChatGLM in .bin files")


@bits
@pytest.mark.parametrize("kind", KINDS)
def test_scores_stay_close_and_what_is_kept_gives_the_same(
    kind: str, bits: str, tmp_path: Path, options: ModelOptions
):
    folder = folder_for(kind, tmp_path / "net")
    full = load(folder, options)
    first = load(folder, options, quantize=bits)
    matrices = linears(first)
    assert len(matrices) >= 4 * full.config.num_hidden_layers
    for name, matrix in matrices.items():
        weight = full.get_submodule(name).weight
        assert (matrix - weight).norm() < WEIGHTS_APART[bits] * weight.norm()
    (there,) = kept(options)
    written = (there / "model.safetensors").stat().st_mtime_ns
    found = scores(first)
    assert 1e-4 < apart(found, scores(full)) < SCORES_APART[bits]
    second = load(folder, options, quantize=bits)
    assert kept(options) == [there]
    assert (there / "model.safetensors").stat().st_mtime_ns == written
    assert second.config.name_or_path == str(there)
    assert type(second) is type(first)
    assert torch.equal(scores(second), found)
    assert second.generation_config.to_dict() == first.generation_config.to_dict()


@bits
@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_that_is_asked_for_is_the_memory_that_is_taken(
    kind: str, bits: str, tmp_path: Path, options: ModelOptions
):
    chosen = replace(options, quantize=bits)
    checkpoint = find_checkpoint(str(folder_for(kind, tmp_path / "net")), chosen, Reports())
    net = load_in_any_bits(checkpoint, chosen, Reports())
    tensors = checkpoint.tensors or bin_tensors(checkpoint)
    with safe_open(kept(options)[0] / "model.safetensors", "pt") as file:
        found = sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
    needed = place_weights(tensors, checkpoint.config, chosen).needed_bytes
    assert needed == pytest.approx(found, rel=0.03)
    assert needed < place_weights(tensors, checkpoint.config, options).needed_bytes
    assert net.get_output_embeddings().weight.dtype == torch.float32


@bits
def test_a_reply_goes_on_token_by_token(bits: str, tmp_path: Path, options: ModelOptions):
    net = load(write_net("Llama", tmp_path / "net"), options, quantize=bits)
    reader = PlainReader(net)
    parts = [reader.read(IDS[:30], 30), *(reader.read([token]) for token in IDS[30:])]
    assert apart(torch.cat(parts), scores(net)) < 0.05


def test_a_net_is_called_by_its_bits(tmp_path: Path, options: ModelOptions):
    folder = write_net("Llama", tmp_path / "net")
    for bits in ("int8", "int4"):
        assert model_of(load(folder, options, quantize=bits)).device == f"cpu {bits}"
    assert model_of(load(folder, options)).device == "cpu float32"


@pytest.mark.parametrize("damage", ["half a file", "no weights", "config", "a weight is missing"])
def test_what_is_damaged_is_made_anew(damage: str, tmp_path: Path, options: ModelOptions):
    folder = write_net("Llama", tmp_path / "net")
    wanted = scores(load(folder, options, quantize="int4"))
    (there,) = kept(options)
    weights = there / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "half a file":
        weights.write_bytes(whole[: len(whole) // 2])
    elif damage == "no weights":
        weights.unlink()
    elif damage == "config":
        (there / "config.json").write_text("{")
    else:
        weights.write_bytes(
            whole.replace(b'layers.1.mlp.up_proj.weight"', b'layers.9.mlp.up_proj.weight"')
        )
    assert torch.equal(scores(load(folder, options, quantize="int4")), wanted)
    assert kept(options) == [there]
    assert weights.read_bytes() == whole


def test_another_checkpoint_of_the_same_name_is_quantised_itself(
    tmp_path: Path, options: ModelOptions
):
    load(write_net("Llama", tmp_path / "net"), options, quantize="int8")
    folder = write_net("Llama", tmp_path / "net", rms_norm_eps=1e-3)
    load(folder, options, quantize="int8")
    load(folder, options, quantize="int4")
    assert len(kept(options)) == 3


def test_nothing_is_written_where_nothing_may_be(tmp_path: Path, options: ModelOptions):
    folder = write_net("Llama", tmp_path / "net")
    load(folder, options, quantize="int8", cache=replace(options.cache, may_write=False))
    assert kept(options) == []


def test_a_full_disk_is_no_fault(tmp_path: Path, options: ModelOptions):
    folder = write_net("Llama", tmp_path / "net")
    with files_of_at_most(20_000):
        net = load(folder, options, quantize="int8")
    assert kept(options) == []
    wanted = scores(net)
    assert torch.equal(scores(load(folder, options, quantize="int8")), wanted)
    assert len(kept(options)) == 1


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path: Path, options: ModelOptions):
    (tmp_path / "cache").write_text("a file")
    load(write_net("Llama", tmp_path / "net"), options, quantize="int8")


def test_the_library_is_not_there(
    tmp_path: Path, options: ModelOptions, monkeypatch: pytest.MonkeyPatch
):
    folder = write_net("Llama", tmp_path / "net")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # how Python is told not to import
    with pytest.raises(ConfigError, match="--quantize int4 needs bitsandbytes") as caught:
        load(folder, options, quantize="int4")
    assert caught.value.hint == "pip install 'glm-chat[quantize]'"


@bits
def test_the_library_does_not_run_on_this_device(bits: str):
    with pytest.raises(ConfigError, match="does not run on vulkan: ") as caught:
        check_library(bits, "vulkan")
    assert "\n" not in caught.value.message


def test_what_is_quantised_already_is_not_quantised_again(tmp_path: Path, options: ModelOptions):
    folder = write_config(
        write_net("Llama", tmp_path / "net"), quantization_config={"quant_method": "gptq"}
    )
    with pytest.raises(ConfigError, match=r"already quantised \(gptq\)"):
        load(folder, options, quantize="int8")


def test_weights_that_would_go_to_main_memory_are_too_large(tmp_path: Path, options: ModelOptions):
    checkpoint = find_checkpoint(str(write_net("Llama", tmp_path / "net")), options, Reports())
    placement = Placement("cuda:0", "auto", torch.float16, torch.float16, 2, 1)
    split = {"model.embed_tokens": "cpu", "model.layers": 0, "model.norm": 0, "lm_head": 0}
    import transformers

    with pytest.raises(OutOfMemory), load_errors(checkpoint, placement):
        transformers.AutoModelForCausalLM.from_pretrained(
            checkpoint.folder,
            device_map=split,
            quantization_config=transformers.BitsAndBytesConfig(load_in_8bit=True),
        )
