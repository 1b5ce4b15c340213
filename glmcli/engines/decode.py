"""Ids in, ids out: what a net has read, prefill in blocks, one id at a time, sampling.

Knows nothing of text, templates or messages. Nothing here outlives a fault: when the net fails,
what it had read is forgotten, so that the next reply starts from a state that is known.
"""

from __future__ import annotations

import gc
import inspect
import math
import traceback
from collections.abc import Collection, Generator, Sequence
from threading import Event
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from glmcli.errors import EngineError, GlmError, OutOfMemory, first_line
from glmcli.types import FinishReason, GenerationParams

BLOCK = 128
"""Tokens of a prompt that are read between two looks at `cancel`."""
KEYED = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers that keep the keys and values of tokens."""
COLDEST = 1e-5
"""A temperature below this is greedy: scores divided by it would overflow."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """The keys and values of one layer, with room for more.

    `DynamicLayer` copies everything it holds for every token; this writes only what is new.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.__dict__.update(layer.__dict__)
        self._key_room, self._value_room = self.keys, self.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add keys and values (batch, heads, tokens, size); returns all of them, as views."""
        used = self.keys.shape[-2]
        end = used + key_states.shape[-2]
        if end > self._key_room.shape[-2]:
            self._key_room = roomier(self.keys, end)
            self._value_room = roomier(self.values, end)
        self._key_room[..., used:end, :] = key_states
        self._value_room[..., used:end, :] = value_states
        self.keys = self._key_room[..., :end, :]
        self.values = self._value_room[..., :end, :]
        return self.keys, self.values


def roomier(states: torch.Tensor, tokens: int) -> torch.Tensor:
    """A copy of `states` with room for `tokens` tokens and a quarter more."""
    used = states.shape[-2]
    room = states.new_empty(*states.shape[:-2], tokens + tokens // 4 + BLOCK, states.shape[-1])
    room[..., :used, :] = states
    return room


def with_room(memory: Any) -> Any:
    """The cache a net has made, with room in the layers that keep every token."""
    if type(memory) is DynamicCache:
        memory.layers = [
            RoomyLayer(layer) if type(layer) is DynamicLayer and layer.is_initialized else layer
            for layer in memory.layers
        ]
    return memory


class PrefixCache:
    """The ids a net has read, with their keys and values, kept from one reply to the next."""

    def __init__(self, net: Any) -> None:
        self.ids: list[int] = []
        self._net = net
        self._memory: Any = None
        self._device = net.device if net.device.type != "meta" else torch.device("cpu")
        self.in_parts = reads_in_parts(net)
        parameters = inspect.signature(net.forward).parameters
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def keep(self, ids: Sequence[int]) -> int:
        """Keep what `ids` begin with, all but the last of them at most. Returns how many are kept.

        The last id has to be read again in any case, for what may follow it.
        """
        shared = min(shared_prefix(self.ids, ids), len(ids) - 1)
        surplus = len(self.ids) - shared
        if surplus > 0:
            if shared > 0 and can_crop(self._memory):
                self._memory.crop(-surplus)
                del self.ids[shared:]
            else:
                self.clear()
        if not self.in_parts:
            self.clear()
        return len(self.ids)

    @torch.inference_mode()
    def read(self, ids: Sequence[int]) -> torch.Tensor:
        """Run the net over `ids`, after what it has read. Returns the scores of all ids to follow.

        float32, (vocabulary,). Raises OutOfMemory, EngineError.
        """
        try:
            output = self._net(
                input_ids=torch.tensor([ids], device=self._device),
                past_key_values=self._memory,
                use_cache=True,
                **self._options,
            )
        except BaseException as exc:
            self.clear()
            if isinstance(exc, Exception):
                raise translated(exc) from exc
            raise
        if self._memory is None:
            self._memory = with_room(output.past_key_values)
        self.ids += ids
        scores: torch.Tensor = output.logits[0, -1].float()
        return scores

    def clear(self) -> None:
        """Forget everything that was read."""
        self.ids = []
        self._memory = None

    def close(self) -> None:
        """Let go of the net too."""
        self.clear()
        self._net = None
        free_memory()


class Sampler:
    """Chooses the next id. `params` that are None take the value of the net's generation_config."""

    def __init__(self, params: GenerationParams, defaults: Any, prompt: Sequence[int]) -> None:
        temperature = first(params.temperature, defaults.temperature, 1.0)
        is_on = params.temperature is not None or bool(defaults.do_sample)
        self._is_greedy = not is_on or temperature < COLDEST
        self._seed = params.seed
        self._random: torch.Generator | None = None
        self._processors = LogitsProcessorList()
        penalty = first(params.repetition_penalty, defaults.repetition_penalty, 1.0)
        self._seen: torch.Tensor | None = None
        if penalty != 1.0:
            self._processors.append(RepetitionPenaltyLogitsProcessor(penalty))
            self._seen = torch.tensor([prompt])
        if not self._is_greedy:
            self._warp(params, defaults, temperature)

    def _warp(self, params: GenerationParams, defaults: Any, temperature: float) -> None:
        if temperature != 1.0:
            self._processors.append(TemperatureLogitsWarper(float(temperature)))
        if top_k := first(params.top_k, defaults.top_k, 0):
            self._processors.append(TopKLogitsWarper(top_k))
        if (top_p := first(params.top_p, defaults.top_p, 1.0)) < 1.0:
            self._processors.append(TopPLogitsWarper(float(top_p)))
        if min_p := defaults.min_p:
            self._processors.append(MinPLogitsWarper(min_p))

    @torch.inference_mode()
    def pick(self, scores: torch.Tensor) -> int:
        """The next id. Raises EngineError if the scores are no numbers.

        Scores and id are fetched together: on a GPU each fetch waits for the device.
        """
        best, token = scores.max(-1)
        if self._processors or not self._is_greedy:
            if self._seen is not None:
                self._seen = self._seen.to(scores.device)
            warped = self._processors(self._seen, scores[None])[0]
            token = warped.argmax(-1) if self._is_greedy else self._draw(warped)
        highest, chosen = torch.stack([best, token.float()]).tolist()
        if not math.isfinite(highest):
            raise EngineError(
                "the model's scores for the next token are not numbers",
                "try --dtype bfloat16 or float32: some models overflow in float16",
            )
        if self._seen is not None:
            self._seen = torch.cat([self._seen, token.reshape(1, 1)], dim=-1)
        return int(chosen)

    def _draw(self, scores: torch.Tensor) -> torch.Tensor:
        if self._random is None:
            self._random = torch.Generator(scores.device)
            if self._seed is None:
                self._random.seed()
            else:
                self._random.manual_seed(self._seed)
        # NaN here would end the whole process on a GPU; `pick` reports it a moment later.
        shares = scores.softmax(-1).nan_to_num(nan=1.0)
        return torch.multinomial(shares, 1, generator=self._random)[0]


def prefill(
    cache: PrefixCache, ids: Sequence[int], cancel: Event, *, leave: int = BLOCK
) -> Generator[int, None, None]:
    """Read `ids`, which begin with `cache.ids`, but the last `leave`. Yield how many are read.

    A net that has to read a prompt in one go reads nothing here.
    """
    while cache.in_parts and len(ids) - len(cache.ids) > leave and not cancel.is_set():
        start = len(cache.ids)
        cache.read(ids[start : start + BLOCK])
        yield len(cache.ids)


def decode(
    cache: PrefixCache,
    ids: Sequence[int],
    sampler: Sampler,
    *,
    stop_ids: Collection[int],
    max_tokens: int,
    cancel: Event,
) -> Generator[int, None, FinishReason]:
    """Yield the ids that follow `ids`, which begin with `cache.ids`. Returns why they ended.

    The id that ends the reply is not yielded. Raises OutOfMemory, EngineError.
    """
    unread = ids[len(cache.ids) :]
    for _ in range(max_tokens):
        if cancel.is_set():
            return "cancelled"
        scores = cache.read(unread)
        try:
            token = sampler.pick(scores)
        except Exception as exc:
            cache.clear()
            raise translated(exc) from exc
        if token in stop_ids:
            return "stop"
        yield token
        unread = [token]
    return "length"


def reads_in_parts(net: Any) -> bool:
    """Whether a net can go on reading where it stopped, and keeps keys instead of a state.

    Nets with recurrent or convolution layers can in some releases of transformers only.
    """
    config = net.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return not getattr(net, "_is_stateful", False) and kinds <= KEYED


def can_crop(memory: Any) -> bool:
    """Whether the end can be cut off exactly: every layer still has the keys of every token."""
    return all(
        type(layer) in (DynamicLayer, RoomyLayer)
        or (
            type(layer) is DynamicSlidingWindowLayer
            and layer.get_seq_length() < layer.sliding_window
        )
        for layer in getattr(memory, "layers", [None])
    )


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids both begin with."""
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))


def first(*values: Any) -> Any:
    """The first value that is not None."""
    return next(value for value in values if value is not None)


def translated(exc: Exception) -> GlmError:
    """A user's error for what a net raised. Frees the tensors that its frames hold."""
    if isinstance(exc, GlmError):
        return exc
    traceback.clear_frames(exc.__traceback__)
    if is_out_of_memory(exc):
        free_memory()
        return OutOfMemory(None, None, what="the conversation")
    return EngineError(
        f"the model failed: {first_line(exc)}",
        "/retry asks again; --attn eager is the safest kernel",
    )


def free_memory() -> None:
    """Give unused memory back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(exc: Exception) -> bool:
    """Whether a device or the machine has no memory left; each says so in its own way."""
    if isinstance(exc, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(exc).lower()
    return isinstance(exc, RuntimeError) and (
        "out of memory" in said or "can't allocate memory" in said or "not enough memory" in said
    )
