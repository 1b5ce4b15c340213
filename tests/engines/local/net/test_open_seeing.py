"""Models that also see pictures: the decoder of each is read alone, and says the same of text."""

import json
import re
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from glmcli.engines.local.net.open import open_model
from glmcli.engines.local.net.plain.recipes import WHOLE
from glmcli.errors import ModelError
from glmcli.models.defaults import read_defaults
from glmcli.models.files.decoder import SEEING
from tests.support.nets import COMMON, IDS, opened

TEXT = {**COMMON, "eos_token_id": [7, 8]}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
GLM_ROPE = {"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5, "mrope_section": [1, 1, 2]}}
GLM_TOWER = {
    "depth": 1,
    "hidden_size": 48,
    "num_heads": 4,
    "image_size": 56,
    "patch_size": 14,
    "out_hidden_size": 64,
    "intermediate_size": 80,
}
QWEN_TOWER = {"depth": 1, "hidden_size": 48, "num_heads": 4, "intermediate_size": 64}
TOWER = {
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 56,
    "patch_size": 14,
}
FAMILIES = {
    "glm4v": ("Glm4v", GLM_ROPE, GLM_TOWER),
    "glm46v": (
        "Glm46V",
        {"model_type": "glm4v_text", **GLM_ROPE},
        {"model_type": "glm4v_vision", **GLM_TOWER},
    ),
    "glm_ocr": (
        "GlmOcr",
        {
            "head_dim": 32,
            "rope_parameters": {**ROPE, "partial_rotary_factor": 1.0, "mrope_section": [4, 6, 6]},
        },
        GLM_TOWER,
    ),
    "qwen2_vl": (
        "Qwen2VL",
        {"rope_parameters": {**ROPE, "mrope_section": [2, 3, 3]}},
        {"depth": 1, "embed_dim": 48, "hidden_size": 64, "num_heads": 4},
    ),
    "qwen2_5_vl": (
        "Qwen2_5_VL",
        {"rope_parameters": {**ROPE, "mrope_section": [2, 3, 3]}},
        {**QWEN_TOWER, "out_hidden_size": 64, "fullatt_block_indexes": [0]},
    ),
    "qwen3_vl": (
        "Qwen3VL",
        {
            "head_dim": 16,
            "rope_parameters": {**ROPE, "mrope_section": [4, 2, 2], "mrope_interleaved": True},
        },
        {**QWEN_TOWER, "out_hidden_size": 64, "deepstack_visual_indexes": [0]},
    ),
    "mistral3": (
        "Mistral3",
        {"model_type": "mistral", "head_dim": 16, "sliding_window": None},
        {"model_type": "pixtral", "head_dim": 12, **TOWER},
    ),
    "llava": (
        "Llava",
        {"model_type": "llama"},
        {"model_type": "clip_vision_model", "projection_dim": 32, **TOWER},
    ),
    "idefics3": ("Idefics3", {"model_type": "llama"}, {"model_type": "idefics3_vision", **TOWER}),
    "internvl": (
        "InternVL",
        {"model_type": "qwen2"},
        {"model_type": "internvl_vision", **TOWER, "image_size": [56, 56], "patch_size": [14, 14]},
    ),
}

EXPERTS = {
    **GLM_ROPE,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
CLIP = {"model_type": "clip_vision_model", "projection_dim": 32, **TOWER}
FAMILIES |= {
    "smolvlm": ("SmolVLM", {"model_type": "llama"}, {"model_type": "smolvlm_vision", **TOWER}),
    "llava_next": ("LlavaNext", {"model_type": "llama"}, CLIP),
    "llava_onevision": (
        "LlavaOnevision",
        {"model_type": "qwen2"},
        {"model_type": "siglip_vision_model", **TOWER},
    ),
}


def whole_net(name, folder):
    """A tiny net of a family, whole and with random weights, saved as transformers saves it."""
    family, text, tower = FAMILIES[name]
    config = getattr(transformers, f"{family}Config")(
        text_config={**TEXT, **text}, vision_config=tower
    )
    torch.manual_seed(3)
    net = getattr(transformers, f"{family}ForConditionalGeneration")(config).eval()
    with torch.no_grad():
        for key, weight in net.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.2)
            else:
                weight.normal_(float("norm" in key and "bias" not in key), 0.2)
    net.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return net


def scores_of(reader):
    scores = [reader.read(IDS[:60], 60)] + [reader.read([token]) for token in IDS[60:80]]
    return torch.cat(scores)


def whole_scores(net):
    with torch.inference_mode():
        return net(input_ids=torch.tensor([IDS[:80]])).logits[0].float()


def distance(found, wanted):
    return float((found - wanted).abs().max() / wanted.std())


@pytest.mark.parametrize("is_fused", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_decoder_alone_says_what_the_whole_says(name, is_fused, tmp_path):
    net = whole_net(name, tmp_path / "net")
    checkpoint, options = opened(tmp_path / "net", tmp_path, fused=is_fused, dtype="float32")
    model = open_model(checkpoint, options, lambda progress: None)
    assert ("fused" in model.runner) == is_fused
    assert distance(scores_of(model.reader), whole_scores(net)) < 1e-4
    assert read_defaults(checkpoint)[1] == {7, 8}
    assert not any("vis" in tensor for tensor in checkpoint.tensors)
    stated = sum(each.size_bytes for each in checkpoint.tensors.values())
    assert model.weight_bytes is None or model.weight_bytes <= stated


WHOLE_FAMILIES = {
    "glm4v_moe": (
        "Glm4vMoe",
        EXPERTS,
        GLM_TOWER,
    ),
    "qwen3_vl_moe": (
        "Qwen3VLMoe",
        {
            **FAMILIES["qwen3_vl"][1],
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
        },
        FAMILIES["qwen3_vl"][2],
    ),
    "glm46v with experts": (
        "Glm46V",
        {"model_type": "glm4v_moe_text", **EXPERTS},
        {"model_type": "glm4v_vision", **GLM_TOWER},
    ),
    "llava with another decoder": ("Llava", {"model_type": "gemma", "head_dim": 16}, CLIP),
    "aya_vision": (
        "AyaVision",
        {"model_type": "cohere2", "head_dim": 16},
        {"model_type": "siglip_vision_model", **TOWER},
    ),
    "lfm2_vl": (
        "Lfm2Vl",
        {"model_type": "lfm2", "layer_types": ["conv", "full_attention"]},
        {"model_type": "siglip2_vision_model", **TOWER},
    ),
}


@pytest.mark.parametrize("name", WHOLE_FAMILIES)
def test_a_model_without_such_a_decoder_is_read_whole(name, tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, name, WHOLE_FAMILIES[name])
    net = whole_net(name, tmp_path / "net")
    model = opened_as(tmp_path / "net", tmp_path)
    assert distance(scores_of(model.reader), whole_scores(net)) < 1e-4


def test_the_page_of_families_names_those_that_see_pictures():
    page = (Path(__file__).parents[4] / "docs/families.md").read_text(encoding="utf-8")
    assert {name for name in WHOLE_FAMILIES if " with " not in name} == set(WHOLE)
    assert set(FAMILIES) == set(SEEING)
    names = {each.strip("`") for each in re.findall("`[a-z0-9_]+`", page.partition("## ")[2])}
    assert names == {*SEEING, *WHOLE}


def changed(folder, config=None, rename=lambda name: name, more=()):
    """Change a saved net: fields of its config, names of its tensors, further tensors."""
    path = folder / "config.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps((config or (lambda each: each))(stated)))
    tensors = load_file(folder / "model.safetensors")
    tensors = {rename(name): tensor for name, tensor in tensors.items()} | dict(more)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def opened_as(folder, tmp_path, **options):
    checkpoint, found = opened(folder, tmp_path, dtype="float32", **options)
    return open_model(checkpoint, found, lambda progress: None)


@pytest.mark.parametrize("is_fused", [True, False])
def test_layers_behind_the_last_are_left_out(is_fused, tmp_path):
    """GLM-OCR's files have one that guesses further ids."""
    net = whole_net("glm_ocr", tmp_path / "net")
    tensors = load_file(tmp_path / "net/model.safetensors")
    more = {
        name.replace("layers.1.", "layers.2."): tensor.clone()
        for name, tensor in tensors.items()
        if "language_model.layers.1." in name
    } | {"model.language_model.layers.2.eh_proj.weight": torch.zeros(64, 128)}
    changed(tmp_path / "net", more=more.items())
    model = opened_as(tmp_path / "net", tmp_path, fused=is_fused)
    assert distance(scores_of(model.reader), whole_scores(net)) < 1e-4


def test_settings_that_lie_beside_those_of_the_rest_are_read(tmp_path):
    """As the published files of Qwen2.5-VL have them, with older names of tensors."""
    net = whole_net("qwen2_5_vl", tmp_path / "net")

    def flat(config):
        text = config.pop("text_config")
        rope = text.pop("rope_parameters")
        theta = rope.pop("rope_theta")
        old = {"type": "mrope", "mrope_section": rope["mrope_section"]}
        text |= {"rope_theta": theta, "rope_scaling": old}
        return {**text, **config}

    def older(name):
        return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")

    changed(tmp_path / "net", flat, older)
    for is_fused in (True, False):
        model = opened_as(tmp_path / "net", tmp_path, fused=is_fused)
        assert distance(scores_of(model.reader), whole_scores(net)) < 1e-4


def test_greedy_ids_are_those_of_the_whole(tmp_path):
    net = whole_net("glm4v", tmp_path / "net")
    model = opened_as(tmp_path / "net", tmp_path)
    ids = torch.tensor([IDS[:20]])
    wanted = net.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=None)[
        0, 20:
    ].tolist()
    found, scores = [], model.reader.read(IDS[:20])
    for _ in wanted:
        found.append(int(scores[-1].argmax()))
        scores = model.reader.read(found[-1:])
    assert found == wanted


def test_in_few_bits_the_decoder_alone_is_rounded(tmp_path):
    net = whole_net("glm4v", tmp_path / "net")
    checkpoint, options = opened(tmp_path / "net", tmp_path, quantize="int8")
    model = open_model(checkpoint, options, lambda progress: None)
    assert model.device == "cpu int8"
    assert 0 < distance(scores_of(model.reader), whole_scores(net)) < 0.5


def without(*names):
    def change(config):
        for place in (config, config.get("text_config") or {}):
            for name in names:
                place.pop(name, None)
            for rope in (place.get("rope_parameters") or {},):
                for name in names:
                    rope.pop(name, None)
        return config

    return change


LEAN = [
    ("glm4v", "rms_norm_eps"),
    ("glm_ocr", "rms_norm_eps"),
    ("glm_ocr", "partial_rotary_factor"),
    *(
        (name, field)
        for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "mistral3", "llava", "internvl")
        for field in ("rope_theta", "rms_norm_eps")
    ),
]


@pytest.mark.parametrize(("name", "field"), LEAN)
def test_what_is_not_stated_is_as_in_the_whole(name, field, tmp_path):
    whole_net(name, tmp_path / "net")
    changed(tmp_path / "net", without(field))
    net = reopened(name, tmp_path / "net")
    model = opened_as(tmp_path / "net", tmp_path)
    assert distance(scores_of(model.reader), whole_scores(net)) < 1e-4


def reopened(name, folder):
    """The whole net as transformers reads it."""
    kind = getattr(transformers, f"{FAMILIES[name][0]}ForConditionalGeneration")
    return kind.from_pretrained(folder, dtype=torch.float32).eval()


def test_no_sliding_window_is_none(tmp_path):
    """Mistral Small states null, and the default is a window of 4,096."""
    whole_net("mistral3", tmp_path / "net")

    def longer(config):
        config["text_config"] |= {"max_position_embeddings": 8192, "sliding_window": None}
        return config

    changed(tmp_path / "net", longer)
    model = opened_as(tmp_path / "net", tmp_path)
    assert "fused" in model.runner
    ids = (IDS * 15)[:4400]
    with torch.inference_mode():
        expected = reopened("mistral3", tmp_path / "net")(torch.tensor([ids])).logits[0, -1:]
    assert distance(model.reader.read(ids), expected) < 1e-3


def test_what_is_stated_beside_the_part_for_text_is_not_of_it(tmp_path):
    whole_net("llava", tmp_path / "net")

    def misled(config):
        for name in ("rms_norm_eps", "hidden_act"):
            config["text_config"].pop(name, None)
        return {**config, "rms_norm_eps": 0.5, "hidden_act": "gelu", "rope_theta": 5.0}

    changed(tmp_path / "net", misled)
    net = reopened("llava", tmp_path / "net")
    model = opened_as(tmp_path / "net", tmp_path)
    assert distance(scores_of(model.reader), whole_scores(net)) < 1e-4


def test_a_head_that_is_missing_is_missed(tmp_path):
    whole_net("glm4v", tmp_path / "net")
    tensors = load_file(tmp_path / "net/model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, tmp_path / "net/model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lm_head\.weight"):
        opened_as(tmp_path / "net", tmp_path)


@pytest.mark.parametrize("name", ["glm4v", "llava", "qwen2_5_vl"])
def test_a_head_that_is_tied_is_the_embedding(name, tmp_path):
    whole_net(name, tmp_path / "net")
    tensors = load_file(tmp_path / "net/model.safetensors")
    head = next(each for each in tensors if each.endswith("lm_head.weight"))
    del tensors[head]
    save_file(tensors, tmp_path / "net/model.safetensors", {"format": "pt"})

    def tied(config):
        config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = True
        return config

    changed(tmp_path / "net", tied)
    net = reopened(name, tmp_path / "net")
    model = opened_as(tmp_path / "net", tmp_path)
    assert distance(scores_of(model.reader), whole_scores(net)) < 1e-4


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("name", ["glm4v", "qwen2_5_vl", "llava"])
def test_an_adapter_of_the_whole_is_merged(name, tmp_path):
    peft = pytest.importorskip("peft")
    whole_net(name, tmp_path / "net")
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_alpha=8)
    config.target_modules = r".*language_model.*\.(q_proj|v_proj)"
    net = peft.get_peft_model(reopened(name, tmp_path / "net"), config)
    with torch.no_grad():
        for key, weight in net.named_parameters():
            if "lora_B" in key:
                weight.normal_(0, 0.2)
    net.save_pretrained(tmp_path / "adapter")
    expected = whole_scores(net.eval())
    model = opened_as(tmp_path / "net", tmp_path, adapter=str(tmp_path / "adapter"))
    assert distance(scores_of(model.reader), expected) < 1e-4
    plain = opened_as(tmp_path / "net", tmp_path)
    assert distance(scores_of(plain.reader), expected) > 1e-2
