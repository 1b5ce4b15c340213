"""ChatGLM checkpoints as plain Glm nets, held to what the original code computes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import GlmConfig, GlmForCausalLM

from glmcli.config.models import ModelOptions
from glmcli.engines.local.net import chatglm
from glmcli.engines.local.net.load import load_net
from glmcli.engines.local.prompt.chatglm.template import load_template
from glmcli.errors import ModelError
from glmcli.models.checkpoint import Checkpoint, open_folder
from tests.support.chatglm_data import (
    CHECKPOINTS,
    OTHERS,
    as_messages,
    copy_of,
    expected,
    find,
    folder_of,
    read_json,
)

TOLERANCE = 1e-4
RANDOM = "tiny-6b-safetensors"
SHARDED = "tiny-6b-32k-safetensors-sharded"
TALKER = "talker-tiny-32k-safetensors"
SETTINGS = ModelOptions(device="cpu", dtype="float32")


def open_checkpoint(folder: Path, options: ModelOptions = SETTINGS) -> Checkpoint:
    return open_folder(folder, name=folder.name, options=options)


def load(folder: Path, **changes: Any) -> Any:
    options = ModelOptions(**{"device": "cpu", "dtype": "float32", **changes})
    return load_net(open_checkpoint(folder, options), options, lambda progress: None)


@cache
def net_of(name: str) -> Any:
    return load(folder_of(name))


def scores(net: Any, ids: list[list[int]], **inputs: Any) -> torch.Tensor:
    given = {name: torch.tensor(value) for name, value in inputs.items()}
    with torch.no_grad():
        return net(torch.tensor(ids), **given).logits.float()


def furthest(name: str, net: Any) -> float:
    """How far a net's logits are from the recorded ones, near and far positions and padding."""
    recorded = expected(name)["logits_fp32"]
    ids, words = [recorded["input_ids"]], recorded["vocab_indices"]
    chosen = words if isinstance(words, list) else slice(None)
    logits = scores(net, ids)[0]
    assert logits.argmax(-1).tolist() == recorded["argmax_all_positions"]
    pairs = [(logits[recorded["positions"]][:, chosen], recorded["logits"])]
    for kind in ("offset", "spread"):
        moved = scores(net, ids, position_ids=[recorded[f"{kind}_position_ids"]])
        pairs.append((moved[0, -1][chosen], recorded[f"{kind}_logits_last"]))
    padded = recorded["left_padded"]
    inputs = {key: padded[key] for key in ("attention_mask", "position_ids")}
    batch = scores(net, padded["input_ids"], **inputs)
    pairs.append((batch[:, -1][:, chosen], padded["logits_last"]))
    return max((ours - torch.tensor(theirs)).abs().max().item() for ours, theirs in pairs)


def spread(name: str, net: Any) -> float:
    """How far a net's last logits are from the recorded ones at positions far apart."""
    recorded = expected(name)["logits_fp32"]
    moved = scores(net, [recorded["input_ids"]], position_ids=[recorded["spread_position_ids"]])
    return (moved[0, -1] - torch.tensor(recorded["spread_logits_last"])).abs().max().item()


def generate(net: Any, prompt: list[int], stop_ids: Any = None, **options: Any) -> list[int]:
    ids = torch.tensor([prompt])
    out = net.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, temperature=None, top_p=None,
        eos_token_id=sorted(stop_ids) if stop_ids else None, pad_token_id=0, **options,
    )  # fmt: skip
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_logits_are_the_originals(name: str) -> None:
    assert furthest(name, net_of(name)) < TOLERANCE


@pytest.mark.parametrize("name", OTHERS)
def test_logits_of_other_generations_are_the_originals(name: str) -> None:
    recorded = read_json(find("other_generations", name, "expected.json"))
    net = net_of(name)
    near = scores(net, recorded["ids"])[0, -1] - torch.tensor(recorded["a"])
    far = scores(net, recorded["ids"], position_ids=recorded["pos"])[0, -1]
    assert near.abs().max() < TOLERANCE
    assert (far - torch.tensor(recorded["b"])).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_greedy_and_beam_ids_are_the_originals(name: str) -> None:
    net = net_of(name)
    for kind, options in (
        ("greedy32", {"max_new_tokens": 32}),
        ("greedy32_chat", {"max_new_tokens": 32}),
        ("beam3_16", {"max_new_tokens": 16, "num_beams": 3}),
    ):
        recorded = expected(name)[kind]
        assert generate(net, recorded["prompt"], **options) == recorded["new_ids"], kind


@pytest.mark.parametrize("name", [name for name in CHECKPOINTS if "-bin-" not in name])
def test_chats_have_the_originals_ids_and_stop_where_they_stop(name: str) -> None:
    folder = find("checkpoints", name)
    template = load_template(read_json(folder / "config.json"), folder, name=name)
    for case in expected(name)["chat"]:
        prompt = template.encode(as_messages(case))
        assert len(prompt.ids) == case["prompt_len"]
        length = case["max_length"] - case["prompt_len"]
        ids = generate(net_of(name), prompt.ids, template.stop_ids, max_new_tokens=length)
        assert ids == case["new_ids"]


def test_a_loaded_net_is_a_plain_glm(tmp_path: Path) -> None:
    net = net_of(SHARDED)
    assert type(net) is GlmForCausalLM
    assert type(net.config) is GlmConfig
    assert not net.training
    net.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["model_type"], saved["architectures"]) == ("glm", ["GlmForCausalLM"])
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = [list(range(3, 30))]
    assert torch.equal(scores(net, ids), scores(again, ids))


def test_loading_plain_glm_checkpoints_is_left_as_it_was(tmp_path: Path) -> None:
    net = net_of(RANDOM)
    net.save_pretrained(tmp_path)
    again, info = GlmForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert type(again.model.rotary_emb).__name__ == "GlmRotaryEmbedding"


def test_the_defaults_are_those_of_the_original_chat() -> None:
    defaults = net_of(RANDOM).generation_config
    assert (defaults.do_sample, defaults.top_p, defaults.temperature) == (True, 0.8, 0.8)
    assert defaults.eos_token_id == [2]  # the template brings the others
    assert defaults.pad_token_id == 0
    assert net_of("glm4-chat").generation_config.eos_token_id == [600, 601, 602]


def test_a_generation_config_of_its_own_is_kept(tmp_path: Path) -> None:
    folder = copy_of(RANDOM, tmp_path)
    (folder / "generation_config.json").write_text('{"temperature": 0.6, "eos_token_id": 7}')
    defaults = load(folder).generation_config
    assert (defaults.temperature, defaults.eos_token_id) == (0.6, 7)


@pytest.mark.parametrize("sharded", [False, True])
def test_bin_files_load_like_safetensors(sharded: bool, tmp_path: Path) -> None:
    folder = copy_of(RANDOM, tmp_path)
    source = folder / "model.safetensors"
    tensors = load_file(source)
    source.unlink()
    if sharded:
        index: dict[str, Any] = {"metadata": {}, "weight_map": {}}
        for number, names in enumerate((list(tensors)[::2], list(tensors)[1::2]), start=1):
            file = f"pytorch_model-0000{number}-of-00002.bin"
            torch.save({name: tensors[name] for name in names}, folder / file)
            index["weight_map"] |= dict.fromkeys(names, file)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    else:
        torch.save(tensors, folder / "pytorch_model.bin")
    assert furthest(RANDOM, load(folder)) < TOLERANCE


class Trap:
    """A pickle of this runs a command when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_bin_file_never_runs_as_a_pickle(tmp_path: Path) -> None:
    folder = copy_of(RANDOM, tmp_path)
    tensors: dict[str, Any] = dict(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    tensors["transformer.extra"] = Trap(tmp_path / "ran")
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ModelError):
        load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", [SHARDED, "tiny-6b-bin-sharded", "glm4-chat"])
@pytest.mark.parametrize(
    "options",
    [
        {"device_map": {"": "cpu"}},
        {"device_map": "auto"},
        {"device_map": "auto", "max_memory": {"cpu": 600_000}},
    ],
    ids=["cpu", "auto", "disk"],
)
def test_weights_may_lie_on_any_device_and_on_disk(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    folder = folder_of(name)
    recipe = chatglm.recipe(open_checkpoint(folder))
    net, info = recipe.net_class.from_pretrained(
        folder,
        config=recipe.config,
        dtype=torch.float32,
        output_loading_info=True,
        offload_folder=str(tmp_path),
        **options,
    )
    recipe.settle(net)
    assert not any(info.values())
    if "max_memory" in options:
        assert set(net.hf_device_map.values()) == {"cpu", "disk"}
    ids = [list(range(3, 30))]
    assert torch.equal(scores(net, ids), scores(net_of(name), ids))


# One test for each trap that was found before: what is easy to get wrong, and shows late.


@pytest.mark.parametrize("cast", ["half", "bfloat16", "float"])
def test_casting_a_net_leaves_far_positions_exact(cast: str) -> None:
    """Rounded RoPE frequencies would move the logits by 2."""
    net = load(find("checkpoints", SHARDED))
    exact = net.model.rotary_emb.inv_freq.clone()
    getattr(net, cast)()
    kept = net.model.rotary_emb.inv_freq
    assert kept.dtype == torch.float32
    assert torch.equal(kept, exact)
    assert net.lm_head.weight.dtype == getattr(torch, {"float": "float32"}.get(cast, cast))
    assert spread(SHARDED, net) < {"half": 0.1, "bfloat16": 0.8, "float": TOLERANCE}[cast]


def test_frequencies_follow_a_net_to_another_device() -> None:
    net = load(find("checkpoints", RANDOM))
    net.to("meta")
    assert net.model.rotary_emb.inv_freq.device.type == "meta"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_net_loaded_in_half_precision_has_exact_frequencies(dtype: str) -> None:
    net = load(find("checkpoints", SHARDED), dtype=dtype)
    assert net.lm_head.weight.dtype == getattr(torch, dtype)
    assert net.model.rotary_emb.inv_freq.dtype == torch.float32
    assert spread(SHARDED, net) < 0.8


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors: tensors.pop("transformer.encoder.layers.2.self_attention.dense.weight"),
        lambda tensors: tensors.update({"transformer.prefix_encoder.x.weight": torch.ones(2)}),
        lambda tensors: tensors.update({"transformer.output_layer.weight": torch.ones(2, 2)}),
    ],
    ids=["missing", "left over", "misshaped"],
)
def test_weights_that_do_not_fit_are_never_made_up(spoil: Any, tmp_path: Path) -> None:
    folder = copy_of(RANDOM, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    spoil(tensors)
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert caught.value.hint


@pytest.mark.parametrize(
    "config", [{"multi_query_group_num": 4}, {"ffn_hidden_size": 100}, {"num_layers": 5}]
)
def test_a_config_that_does_not_fit_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        load(copy_of(RANDOM, tmp_path, **config))


def test_the_ratio_of_chatglm2_divides_positions(tmp_path: Path) -> None:
    """Read as ChatGLM3's it would be wrong by more than 10."""
    recorded = read_json(find("other_generations", "chatglm2-6b-32k", "expected.json"))

    def error(net: Any) -> float:
        far = scores(net, recorded["ids"], position_ids=recorded["pos"])[0, -1]
        return (far - torch.tensor(recorded["b"])).abs().max().item()

    renamed = copy_of("chatglm2-6b-32k", tmp_path).rename(tmp_path / "mine")
    assert error(load(renamed)) > 10
    code = "positions = torch.arange(seq_len) / self.rope_ratio\n"
    (renamed / "modeling_chatglm.py").write_text(code)
    assert error(load(renamed)) < TOLERANCE


def test_the_original_rounding_of_norms_is_the_configs(tmp_path: Path) -> None:
    """Glm's own default for epsilon is wrong by 2e-4 here."""
    folder = copy_of(SHARDED, tmp_path, layernorm_epsilon=1.5625e-07)
    assert spread(SHARDED, load(folder)) > TOLERANCE


def test_heads_need_not_fill_the_hidden_size() -> None:
    net = net_of("talker-6b-safetensors-sharded")
    assert net.config.head_dim * net.config.num_attention_heads == 2 * net.config.hidden_size


def test_positions_may_pass_the_length_the_original_fails_at() -> None:
    net = net_of(RANDOM)
    assert scores(net, [[5] * 8], position_ids=[list(range(8188, 8196))]).isfinite().all()


@pytest.mark.parametrize("trust", [False, True])
def test_python_that_comes_with_a_checkpoint_never_runs(trust: bool, tmp_path: Path) -> None:
    folder = copy_of(TALKER, tmp_path)
    for name in (
        "configuration_chatglm",
        "modeling_chatglm",
        "tokenization_chatglm",
        "quantization",
    ):
        marker = tmp_path / f"{name}.ran"
        code = f"open({str(marker)!r}, 'w').close()\nraise RuntimeError('this ran')\n"
        code += "# base = base * self.rope_ratio, <|observation|>\n"
        (folder / f"{name}.py").write_text(code)
    net = load(folder, trust_remote_code=trust)
    assert furthest(TALKER, net) < TOLERANCE
    load_template(read_json(folder / "config.json"), folder, name="talker")
    assert list(tmp_path.glob("*.ran")) == []


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_any_attention_kernel_gives_the_same_ids(attention: str) -> None:
    net = load(find("checkpoints", TALKER), attn=attention)
    recorded = expected(TALKER)["greedy32_chat"]
    assert generate(net, recorded["prompt"], max_new_tokens=32) == recorded["new_ids"]


def test_a_static_cache_gives_the_same_ids() -> None:
    recorded = expected(TALKER)["greedy32"]
    options = {"max_new_tokens": 32, "cache_implementation": "static", "disable_compile": True}
    assert generate(net_of(TALKER), recorded["prompt"], **options) == recorded["new_ids"]
