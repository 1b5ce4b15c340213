"""Any net of transformers as a reader: the plain path, which every architecture can take.

A net is given what its own `generate` would give it. Knows nothing of text or sampling, nor of
which way of reading is right for a net: see proof.py.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from transformers import GenerationMixin

from glmcli.engines.local.net.plain.growing import can_crop, let_grow, states_in
from glmcli.engines.local.net.reader import LoadedNet, block_for
from glmcli.language import later, tr
from glmcli.models.checkpoint import Checkpoint
from glmcli.models.defaults import defaults_in, ending_ids, read_defaults

STATES = ("past_key_values", "cache_params", "state", "mems", "past_buckets_states")
"""What nets call that which they keep of what they have read; each has one of them at most."""
MISNAMED = {"mems": "past_key_values", "past_buckets_states": "past_key_values"}
"""Those that `generate` hands back under another name, from which the net takes it."""


SPOILING = 7.0
"""What is added to the first number of a state to spoil it, twice as much to the second, and on."""


class ReadingWay(StrEnum):
    """How a net is given a text, the quickest first."""

    PARTS = "parts"
    """In blocks of any size, going on where it stopped, from one turn to the next too."""
    WHOLE = "whole"
    """A prompt in one block, then id by id, as `generate` does. Nothing is kept for the next."""
    ANEW = "anew"
    """All of the text for each id, as `generate(use_cache=False)` does."""


_WORDS = {
    ReadingWay.PARTS: "",
    ReadingWay.WHOLE: later("each prompt in one block"),
    ReadingWay.ANEW: later("without a cache"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """The way of reading that is right for a net."""

    way: ReadingWay = ReadingWay.PARTS
    border: int | None = None
    """A number of ids from which on positions mean something else, if there is one."""
    beyond: ReadingWay = ReadingWay.PARTS
    """The way beyond the border."""

    def way_at(self, tokens: int) -> ReadingWay:
        """The way for a text of so many ids."""
        return self.way if self.border is None or tokens <= self.border else self.beyond

    @property
    def words(self) -> str:
        """What a user would want to know of it; empty if nothing."""
        if self.way is not ReadingWay.PARTS:
            return tr(_WORDS[self.way])
        if self.border is None or self.beyond is ReadingWay.PARTS:
            return ""
        how = tr(_WORDS[self.beyond])
        return tr("beyond {tokens:,} tokens {how}", tokens=self.border, how=how)


class PlainReader:
    """A NetReader over a transformers net and whatever the net itself keeps of what it has read."""

    def __init__(self, net: Any, reading: Reading | None = None) -> None:
        self._net = net
        self.reading = reading or Reading(
            ReadingWay.PARTS if reads_in_parts(net) else ReadingWay.WHOLE
        )
        self._device = net.device if net.device.type != "meta" else torch.device("cpu")
        self._ids = torch.empty((1, 0), dtype=torch.long, device=self._device)
        self._state: dict[str, Any] = {}
        self.is_rounded = net.dtype is not torch.float32
        self.block = block_for(self._device)
        self._takes = set(inspect.signature(net.forward).parameters)

    @property
    def whole_beyond(self) -> float:
        """Prompts of more ids are read in one go."""
        if self.reading.way is not ReadingWay.PARTS:
            return 0
        border = self.reading.border
        return math.inf if border is None or self.reading.beyond is ReadingWay.PARTS else border

    @torch.inference_mode()
    def read(self, ids: Sequence[int], last: int = 1) -> torch.Tensor:
        """Read further `ids`; scores after each of the `last` of them, (last, vocabulary)."""
        if last > 1 and "target_mapping" in self._takes:  # such a net scores one place at a time
            first = len(ids) - last + 1
            return torch.cat([self.read(ids[:first]), *(self.read([one]) for one in ids[first:])])
        new = torch.tensor([ids], dtype=torch.long, device=self._device)
        self._ids = torch.cat([self._ids, new], dim=1)
        anew = self.reading.way_at(self._ids.shape[1]) is ReadingWay.ANEW
        if anew:
            self._state = {}
        output = self._net(**self._inputs(len(ids), last, use_cache=not anew))
        if not anew:
            self._keep_state(output)
        scores: torch.Tensor = output.logits[0, -last:].float()
        return scores

    @property
    def can_rewind(self) -> bool:
        """Whether the end can be forgotten exactly."""
        if self.reading.way_at(self._ids.shape[1]) is ReadingWay.ANEW:
            return True
        kept = self._state.get("past_key_values")
        return can_crop(kept) and not getattr(self._net, "_is_stateful", False)

    def rewind(self, tokens: int) -> bool:
        """Forget all but the first `tokens`; False if some layer no longer has their keys."""
        border, now = self.reading.border, self._ids.shape[1]
        if not self.can_rewind or (border is not None and tokens <= border < now):
            return False
        if self._state:
            self._state["past_key_values"].crop(tokens - now)  # negative: how many go
        self._ids = self._ids[:, :tokens]
        return True

    def forget(self) -> None:
        """Forget everything that was read."""
        border, now = self.reading.border, self._ids.shape[1]
        self._state, self._ids = {}, self._ids[:, :0]
        if border is not None and now > border:
            reset_positions(self._net, self._device)

    @property
    def memory_bytes(self) -> int:
        """Bytes reserved for keys and values, where the layers say so."""
        return sum(
            space.nbytes
            for layer in getattr(self._state.get("past_key_values"), "layers", [])
            for space in (getattr(layer, "_key_space", None), getattr(layer, "_value_space", None))
            if space is not None
        )

    @torch.inference_mode()
    def spoil(self, name: str) -> bool:
        """Change the states of this name beyond all recognition; False if there are none."""
        states = [state for kept in self._state.values() for state in states_in(kept, name)]
        for state in states:
            state.add_(torch.full_like(state, SPOILING).cumsum(-1))
        return bool(states)

    def _inputs(self, new: int, last: int, *, use_cache: bool) -> dict[str, Any]:
        """What `generate` would call the net with to read the last `new` ids."""
        total = self._ids.shape[1]
        given: dict[str, Any] = {"use_cache": use_cache, "return_dict": True, **self._state}
        if "logits_to_keep" in self._takes:
            given["logits_to_keep"] = last
        if "attention_mask" in self._takes:
            given["attention_mask"] = torch.ones_like(self._ids)
        if "position_ids" in self._takes:
            given["position_ids"] = torch.arange(total, device=self._device)[None]
        if not CAN_PREPARE:
            return self._sliced(given, new if self._state else total)
        prepared: dict[str, Any] = self._net.prepare_inputs_for_generation(
            self._ids,
            next_sequence_length=new if self._state else None,
            is_first_iteration=not self._state,
            **given,
        )
        # Some families put their own number there, which is for single ids.
        return prepared | {name: given[name] for name in ("logits_to_keep",) if name in given}

    def _sliced(self, given: dict[str, Any], new: int) -> dict[str, Any]:
        """The same for a transformers whose nets cannot prepare several ids at a time."""
        if "position_ids" in given:
            given["position_ids"] = given["position_ids"][:, -new:]
        return {"input_ids": self._ids[:, -new:], **given}

    def _keep_state(self, output: Any) -> None:
        """Take what the net has made over to the next reading."""
        for name in STATES:
            made = getattr(output, name, None)
            if made is not None:
                self._state = {MISNAMED.get(name, name): made if self._state else let_grow(made)}
                return


CAN_PREPARE = (
    "next_sequence_length"
    in inspect.signature(GenerationMixin.prepare_inputs_for_generation).parameters
)
"""Whether this transformers lets a net prepare more than one id behind others."""


def reset_positions(net: Any, device: torch.device) -> None:
    """Let rotary embeddings that grew with a long text shrink again, as in a net just loaded."""
    if any(hasattr(module, "max_seq_len_cached") for module in net.modules()):
        with torch.inference_mode():
            net(input_ids=torch.zeros((1, 1), dtype=torch.long, device=device), use_cache=False)


def model_of(
    net: Any,
    runner: str = "",
    reading: Reading | None = None,
    checkpoint: Checkpoint | None = None,
) -> LoadedNet:
    """A transformers net as it is. If it is of no checkpoint, its own config says its ends."""
    device = f"{net.device.type} {number_format(net)}"
    defaults = defaults_in(net.generation_config.to_dict())
    ends = ending_ids(net.generation_config.eos_token_id)
    if checkpoint is not None:
        ends = read_defaults(checkpoint)[1]
    return LoadedNet(PlainReader(net, reading), defaults, ends, device, runner)


def number_format(net: Any) -> str:
    """What most weights are: "bfloat16", or "int8" and "int4" where bitsandbytes packed them."""
    for bits in (4, 8):
        if getattr(net, f"is_loaded_in_{bits}bit", False):
            return f"int{bits}"
    return str(getattr(net, "kept_dtype", net.dtype)).removeprefix("torch.")


KEYED = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers that keep the keys and values of tokens."""


def reads_in_parts(net: Any) -> bool:
    """Whether a net that was not proven is likely to go on where it stopped: it keeps keys only."""
    config = net.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return not getattr(net, "_is_stateful", False) and kinds <= KEYED
