"""Tiny nets of each family, saved, opened and asked for their scores."""

from __future__ import annotations

from functools import cache

import torch
import transformers

from glmcli.config import load_settings
from glmcli.engines.local.net.fused.decoder import FIRST_TOKENS, FusedNet
from glmcli.engines.local.net.fused.fbgemm import has_halves
from glmcli.engines.local.net.fused.linears import Linears
from glmcli.engines.local.net.fused.plan import dimensions_of
from glmcli.engines.local.net.fused.proof import config_of_transformers
from glmcli.engines.local.net.fused.weights import load_fused
from glmcli.engines.local.net.placement import place_weights
from glmcli.models.checkpoint import find_checkpoint

COMMON = {
    "vocab_size": 430,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0}
PARTIAL = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}
FAMILIES = {
    "llama": ("Llama", {}),
    "llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama 3": ("Llama", {"rope_parameters": LLAMA3}),
    "tied": ("Llama", {"rope_parameters": LINEAR, "tie_word_embeddings": True}),
    "one query head per key head": ("Llama", {"num_key_value_heads": 4}),
    "mistral": ("Mistral", {"sliding_window": None}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "glm": ("Glm", {"head_dim": 32, "attention_bias": True, "rope_parameters": PARTIAL}),
    "glm4": ("Glm4", {"head_dim": 32, "rope_parameters": PARTIAL}),
}
PER_TOKEN = 2 * 2 * 2 * 16 * 4
"""Bytes of keys and values of the tiny llama: layers, keys and values, groups, numbers, bytes."""
SLOT = PER_TOKEN * FIRST_TOKENS
"""Bytes of a short slot."""
IDS = torch.randint(0, 430, (320,), generator=torch.Generator().manual_seed(2)).tolist()


@cache
def net_of(name):
    """A random net of a family, with norms and biases that matter."""
    family, changes = FAMILIES[name]
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(**COMMON | changes)
    net = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    for key, parameter in net.named_parameters():
        if "norm" in key or "bias" in key:
            torch.nn.init.normal_(parameter, float("norm" in key), 0.2)
    return net


def saved(name, folder):
    net_of(name).save_pretrained(folder)
    return folder


def opened(folder, tmp_path, **options):
    """The checkpoint and the options of a folder."""
    options = {"model": str(folder), "device": "cpu", "dtype": "float32", **options}
    options = load_settings(options, environ={"GLM_CACHE": str(tmp_path / "cache")}).model_options
    return find_checkpoint(str(folder), options, lambda progress: None), options


def fused(checkpoint, options, static=None):
    """The decoder itself, without a proof."""
    net = dimensions_of(checkpoint, config_of_transformers(checkpoint), checkpoint.tensors)
    placement = place_weights(
        checkpoint.tensors, checkpoint.config, options, has_halves=has_halves()
    )
    linears = Linears(placement.device, placement.dtype, placement.sums)
    loaded = load_fused(net, checkpoint, placement, linears, lambda progress: None)
    return FusedNet(loaded.plan, loaded.weights, static=static)


def wanted(net, ids):
    with torch.inference_mode():
        return net(torch.tensor([ids])).logits[0].float()
