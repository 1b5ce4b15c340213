"""What a transformers net keeps of the text: keys and values with space for more, and states."""

from __future__ import annotations

from typing import Any

import torch
from transformers import cache_utils
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from glmcli.engines.local.net.reader import BLOCK


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


def can_crop(cache: Any) -> bool:
    """Whether the end can be cut off exactly: every layer still has the keys of every token."""
    return all(
        type(layer) in WHOLE_LAYERS
        or (
            type(layer) is DynamicSlidingWindowLayer
            and layer.get_seq_length() < layer.sliding_window
        )
        for layer in getattr(cache, "layers", [None])
    )


WHOLE_LAYERS = [DynamicLayer, GrowingLayer, getattr(cache_utils, "DummyLayer", DynamicLayer)]
"""Layers that keep the keys of every token, or none: those that use another layer's."""

RECURRENT = ("conv_states", "recurrent_states", "ssm_states")
"""What caches call that which has one size, whatever the length of the text."""


def states_in(cache: Any, name: str) -> list[torch.Tensor]:
    """The states of this name that a cache and its layers keep."""
    kept = [getattr(holder, name, None) for holder in (cache, *getattr(cache, "layers", []))]
    each = [list(one.values()) if isinstance(one, dict) else one for one in kept]
    flat = [state for one in each for state in (one if isinstance(one, list) else [one])]
    return [state for state in flat if isinstance(state, torch.Tensor)]
