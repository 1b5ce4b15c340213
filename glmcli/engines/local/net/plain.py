"""Any net of transformers as a reader: the plain path, which every architecture can take.

Knows nothing of text or sampling.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from glmcli.engines.local.net.reader import BLOCK, LoadedNet, block_for
from glmcli.models.defaults import defaults_in, ending_ids

KEYED = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers that keep the keys and values of tokens."""


class PlainReader:
    """A NetReader over a transformers net and the cache that the net itself makes."""

    def __init__(self, net: Any) -> None:
        self.in_parts = reads_in_parts(net)
        self._net = net
        self._cache: Any = None
        self._tokens = 0
        self._device = net.device if net.device.type != "meta" else torch.device("cpu")
        self.block = block_for(self._device)
        parameters = inspect.signature(net.forward).parameters
        self._keeps_last = "logits_to_keep" in parameters

    @torch.inference_mode()
    def read(self, ids: Sequence[int], last: int = 1) -> torch.Tensor:
        """Read further `ids`; scores after each of the `last` of them, (last, vocabulary)."""
        output = self._net(
            input_ids=torch.tensor([ids], device=self._device),
            past_key_values=self._cache,
            use_cache=True,
            **({"logits_to_keep": last} if self._keeps_last else {}),
        )
        if self._cache is None:
            self._cache = let_grow(output.past_key_values)
        self._tokens += len(ids)
        scores: torch.Tensor = output.logits[0, -last:].float()
        return scores

    @property
    def can_rewind(self) -> bool:
        """Whether every layer still has the keys of every token."""
        return can_crop(self._cache)

    def rewind(self, tokens: int) -> bool:
        """Forget all but the first `tokens`; False if some layer no longer has their keys."""
        if not self.can_rewind:
            return False
        self._cache.crop(tokens - self._tokens)  # negative: how many go
        self._tokens = tokens
        return True

    def forget(self) -> None:
        """Forget everything that was read."""
        self._cache = None
        self._tokens = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes reserved for keys and values, where the layers say so."""
        return sum(
            space.nbytes
            for layer in getattr(self._cache, "layers", [])
            for space in (getattr(layer, "_key_space", None), getattr(layer, "_value_space", None))
            if space is not None
        )


def model_of(net: Any, runner: str = "") -> LoadedNet:
    """A transformers net as it is."""
    device = f"{net.device.type} {number_format(net)}"
    defaults = defaults_in(net.generation_config.to_dict())
    return LoadedNet(PlainReader(net), defaults, stated_ends(net), device, runner)


def number_format(net: Any) -> str:
    """What most weights are: "bfloat16", or "int8" and "int4" where bitsandbytes packed them."""
    for bits in (4, 8):
        if getattr(net, f"is_loaded_in_{bits}bit", False):
            return f"int{bits}"
    return str(net.dtype).removeprefix("torch.")


def stated_ends(net: Any) -> frozenset[int]:
    """The ids that end a reply by the word of the net's configurations, defaults included."""
    configs = (net.generation_config, net.config)
    return ending_ids(*(getattr(config, "eos_token_id", None) for config in configs))


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """The keys and values of one layer, with space for more.

    `DynamicLayer` copies everything it holds for every token; this writes only the new ones.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.__dict__.update(layer.__dict__)
        self._key_space, self._value_space = self.keys, self.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add keys and values (batch, heads, tokens, size); returns all of them, as views."""
        used = self.keys.shape[-2]
        end = used + key_states.shape[-2]
        if end > self._key_space.shape[-2]:
            self._key_space = grow(self.keys, end)
            self._value_space = grow(self.values, end)
        self._key_space[..., used:end, :] = key_states
        self._value_space[..., used:end, :] = value_states
        self.keys = self._key_space[..., :end, :]
        self.values = self._value_space[..., :end, :]
        return self.keys, self.values


def grow(states: torch.Tensor, tokens: int) -> torch.Tensor:
    """A copy of `states` with space for `tokens` tokens and a quarter more."""
    used = states.shape[-2]
    copy = states.new_empty(*states.shape[:-2], tokens + tokens // 4 + BLOCK, states.shape[-1])
    copy[..., :used, :] = states
    return copy


def let_grow(cache: Any) -> Any:
    """The cache a net has made, with space in the layers that keep every token."""
    if type(cache) is DynamicCache:
        cache.layers = [
            GrowingLayer(layer) if type(layer) is DynamicLayer and layer.is_initialized else layer
            for layer in cache.layers
        ]
    return cache


def reads_in_parts(net: Any) -> bool:
    """Whether a net can go on reading where it stopped, and keeps keys instead of a state.

    Nets with recurrent or convolution layers can in some releases of transformers only.
    """
    config = net.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return not getattr(net, "_is_stateful", False) and kinds <= KEYED


def can_crop(cache: Any) -> bool:
    """Whether the end can be cut off exactly: every layer still has the keys of every token."""
    return all(
        type(layer) in (DynamicLayer, GrowingLayer)
        or (
            type(layer) is DynamicSlidingWindowLayer
            and layer.get_seq_length() < layer.sliding_window
        )
        for layer in getattr(cache, "layers", [None])
    )
