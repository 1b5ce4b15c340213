"""An adapter is merged into the weights, whatever reads them; or one line says why not."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from glmcli.engines.local.net.load import load_net
from glmcli.engines.local.net.open import open_model
from glmcli.engines.local.proofs import fingerprint
from glmcli.errors import ModelError
from glmcli.models.libraries import quiet
from tests.support.nets import IDS, net_of, opened, saved

KINDS = {
    "lora": peft.LoraConfig(target_modules=["q_proj", "down_proj"], r=4, lora_alpha=16),
    "dropout": peft.LoraConfig(target_modules=["q_proj"], r=4, lora_dropout=0.5),
    "dora": peft.LoraConfig(target_modules=["v_proj"], r=4, use_dora=True),
    "ranks": peft.LoraConfig(
        target_modules=["q_proj", "k_proj"], r=4, rank_pattern={"layers.1.self_attn.q_proj": 2}
    ),
    "head": peft.LoraConfig(target_modules=["o_proj"], r=2, modules_to_save=["lm_head"]),
    "pattern": peft.LoraConfig(target_modules=r".*layers\.(0|1)\.mlp\.up_proj", r=2),
    "parameter": peft.LoraConfig(
        target_modules=["q_proj"], r=2, target_parameters=["mlp.gate_proj.weight"]
    ),
    "tokens": peft.LoraConfig(
        target_modules=["q_proj"], r=2, trainable_token_indices=sorted(set(IDS[:8]))
    ),
    "loha": peft.LoHaConfig(target_modules=["gate_proj"], r=2),
    "oft": peft.OFTConfig(target_modules=["q_proj"], oft_block_size=8),
    "vera": peft.VeraConfig(target_modules=["q_proj"], r=4),
    "vblora": peft.VBLoRAConfig(
        target_modules=["q_proj"], r=4, num_vectors=8, vector_length=8, topk=2
    ),
    "adalora": peft.AdaLoraConfig(target_modules=["q_proj"], init_r=4, target_r=2, total_step=10),
    "ia3": peft.IA3Config(target_modules=["k_proj", "up_proj"], feedforward_modules=["up_proj"]),
}


def ignore(progress):
    """No report."""


def write_adapter(folder, config, base="org/base", name="llama"):
    """An adapter whose numbers matter; returns the scores of the net that has it."""
    torch.manual_seed(5)
    with quiet():
        whole = peft.get_peft_model(copy.deepcopy(net_of(name)), copy.deepcopy(config))
    for key, parameter in whole.named_parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, float("ia3" in key), 0.3)
    whole.peft_config["default"].base_model_name_or_path = base
    with quiet():
        whole.save_pretrained(folder)
    with torch.inference_mode():
        return whole.eval()(torch.tensor([IDS])).logits[0].float()


def read(model):
    return model.reader.read(IDS, len(IDS))


def close(scores, wanted):
    return float((scores - wanted).abs().max()) < 1e-3 * float(wanted.std())


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_each_kind_says_what_peft_says(kind, tmp_path):
    wanted = write_adapter(tmp_path / "adapter", KINDS[kind])
    folder = saved("llama", tmp_path / "net")
    checkpoint, options = opened(folder, tmp_path, adapter=str(tmp_path / "adapter"))
    net = load_net(checkpoint, options, ignore)
    with torch.inference_mode():
        scores = net(torch.tensor([IDS])).logits[0].float()
    assert close(scores, wanted)
    assert not close(wanted, net_of("llama")(torch.tensor([IDS])).logits[0].detach())


def test_rows_of_tokens_that_the_head_has_too_are_applied_once(tmp_path):
    config = peft.LoraConfig(target_modules=["q_proj"], r=2, trainable_token_indices=IDS[:3])
    wanted = write_adapter(tmp_path / "adapter", config, name="tied")
    folder = saved("tied", tmp_path / "net")
    checkpoint, options = opened(folder, tmp_path, adapter=str(tmp_path / "adapter"))
    net = load_net(checkpoint, options, ignore)
    with torch.inference_mode():
        assert close(net(torch.tensor([IDS])).logits[0].float(), wanted)


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_that_an_adapter_brings_take_the_place_of_the_nets(bias, tmp_path):
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2, bias=bias)
    name = "llama with biases"
    wanted = write_adapter(tmp_path / "adapter", config, name=name)
    checkpoint, options = opened(
        saved(name, tmp_path / "net"), tmp_path, adapter=str(tmp_path / "adapter")
    )
    net = load_net(checkpoint, options, ignore)
    with torch.inference_mode():
        assert close(net(torch.tensor([IDS])).logits[0].float(), wanted)


@pytest.mark.parametrize("beside", [False, True])
def test_the_fused_decoder_has_it_too_and_proves_itself_again(beside, tmp_path):
    folder = saved("llama with biases", tmp_path / "net")
    (folder / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"eos_token_id": 3})
    )
    plain, options = opened(folder, tmp_path)
    before = read(open_model(plain, options, ignore))
    place = folder if beside else tmp_path / "adapter"
    config = KINDS["lora"]
    wanted = write_adapter(place, config, name="llama with biases")
    asked = {} if beside else {"adapter": str(place)}
    checkpoint, options = opened(folder, tmp_path, **asked)
    for _ in range(2):  # the second time the proof is kept
        model = open_model(checkpoint, options, ignore)
        assert model.runner.startswith("fused decoder")
        assert close(read(model), wanted)
    assert not close(before, wanted)
    told = {"device": "cpu", "dtype": "float32"}
    assert fingerprint(checkpoint, **told) != fingerprint(plain, **told)
    int8 = open_model(checkpoint, replace(options, quantize="int8"), ignore)
    assert float((read(int8) - wanted).norm() / wanted.norm()) < 0.1


@pytest.mark.parametrize("parts", [["lm_head"], ["embed_tokens"], ["lm_head", "embed_tokens"]])
def test_an_adapter_of_a_part_that_is_used_twice_changes_that_part_alone(parts, tmp_path):
    """Merged as it is, a change of the head would be one of the embedding too."""
    wanted = write_adapter(
        tmp_path / "adapter", peft.LoraConfig(target_modules=parts, r=2), name="tied"
    )
    folder = saved("tied", tmp_path / "net")
    checkpoint, options = opened(folder, tmp_path, adapter=str(tmp_path / "adapter"))
    with torch.inference_mode():
        net = load_net(checkpoint, options, ignore)
        assert close(net(torch.tensor([IDS])).logits[0].float(), wanted)
    for fused in (True, False):
        model = open_model(checkpoint, replace(options, fused=fused), ignore)
        assert model.runner.startswith("fused decoder") is fused
        assert close(read(model), wanted)


@pytest.mark.parametrize("kind", ["vera", "vblora", "adalora", "dora"])
def test_what_a_file_of_each_kind_lacks_is_noticed(kind, tmp_path):
    write_adapter(tmp_path / "adapter", KINDS[kind])
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    folder = saved("llama", tmp_path / "net")
    for gone in {name.rpartition(".")[2]: name for name in tensors}.values():
        path.unlink()
        save_file({key: value for key, value in tensors.items() if key != gone}, path)
        checkpoint, options = opened(folder, tmp_path, adapter=str(tmp_path / "adapter"))
        with pytest.raises(ModelError, match=r"lacks|is not applied"):
            load_net(checkpoint, options, ignore)


def test_an_adapter_of_another_model_is_refused(tmp_path):
    write_adapter(tmp_path / "adapter", KINDS["lora"], name="qwen3")
    folder = saved("llama", tmp_path / "net")
    checkpoint, options = opened(folder, tmp_path, adapter=str(tmp_path / "adapter"))
    with pytest.raises(ModelError) as caught:
        load_net(checkpoint, options, ignore)
    assert "adapter" in caught.value.message
    assert "names its base" in caught.value.hint


def test_a_tensor_that_finds_no_place_is_named(tmp_path):
    write_adapter(tmp_path / "adapter", KINDS["lora"])
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(path)
    first = next(iter(tensors))
    changes = {
        "lacks ": {key: value for key, value in tensors.items() if key != first},
        "has no place for ": {
            **tensors,
            first.replace("layers.0", "layers.7"): tensors[first].clone(),
        },
    }
    folder = saved("llama", tmp_path / "net")
    for said, changed in changes.items():
        path.unlink()
        save_file(changed, path)
        checkpoint, options = opened(folder, tmp_path, adapter=str(tmp_path / "adapter"))
        with pytest.raises(ModelError, match=said):
            load_net(checkpoint, options, ignore)


def test_without_peft_a_line_says_how_to_get_it(tmp_path, monkeypatch):
    write_adapter(tmp_path / "adapter", KINDS["lora"])
    folder = saved("llama", tmp_path / "net")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match="needs peft") as caught:
        opened(folder, tmp_path, adapter=str(tmp_path / "adapter"))
    assert caught.value.hint == "pip install 'glm-chat[adapter]'"
