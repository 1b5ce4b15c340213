"""The first layers of a loaded net as a net of their own, for a proof that costs little.

It shares the weights, copies nothing, and its borders may be lowered. Knows nothing of proofs.
"""

from __future__ import annotations

import copy
from typing import Any

from glmcli.engines.local.net.plain.halves import widen
from glmcli.engines.local.net.plain.uncompiled import uncompiled
from glmcli.models.meaning import stated_rope

WINDOWS = (
    "sliding_window",
    "attention_window_size",
    "attention_chunk_size",
    "original_max_position_embeddings",
)
"""What config.json calls the numbers of ids from which on a net reads in another way."""
GROWING = ("longrope", "dynamic")
"""Kinds of rotary embedding whose frequencies depend on how long the whole text is."""


def cut_of(net: Any, *, border: int | None = None) -> Any:
    """As few first layers as have all kinds of layers, with borders lowered to `border`.

    None if a net cannot be cut: then only the whole of it can be asked.
    """
    try:
        return make_cut(net, border)
    except Exception:  # each family's config and class check in their own way
        return None


def make_cut(net: Any, border: int | None) -> Any:
    """See `cut_of`. Raises whatever a family raises."""
    from accelerate import init_empty_weights

    config = copy.deepcopy(net.config)
    text = config.get_text_config(decoder=True)
    shorten(text, layers_for(text))
    if border is not None:
        lower(text, border)
        if text is not config:
            lower(config, border)
    with uncompiled(), init_empty_weights(include_buffers=False):
        cut = type(net)(config)
    cut.load_state_dict(net.state_dict(), strict=False, assign=True)
    cut.tie_weights()
    tensors = [*cut.parameters(), *cut.buffers()]
    if any(tensor.device.type == "meta" for tensor in tensors):
        return None
    if hasattr(net, "kept_dtype"):
        widen(cut)
    return cut.to(net.device).eval()


def layers_for(config: Any) -> int:
    """How many first layers have all kinds of layers; two at least."""
    kinds = list(getattr(config, "layer_types", None) or [])
    count = next((n for n in range(1, len(kinds)) if set(kinds[:n]) == set(kinds)), len(kinds))
    return min(max(count, 2), int(config.num_hidden_layers))


def shorten(config: Any, layers: int) -> None:
    """Let a config have fewer layers, and so all that it says of each."""
    before = config.num_hidden_layers
    config.num_hidden_layers = layers
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == before and name != "architectures":
            setattr(config, name, value[:layers])


def borders_of(config: Any) -> list[int]:
    """The numbers of ids from which on a net of this config reads in another way."""
    found = [getattr(config, name, None) for name in WINDOWS]
    found += [rope.get("original_max_position_embeddings") for rope in growing_ropes(config)]
    if is_dynamic(config):
        found.append(config.max_position_embeddings)
    return sorted({size for size in found if isinstance(size, int) and size > 0})


def growing_ropes(config: Any) -> list[dict[str, Any]]:
    """What a config says of rotary embeddings whose frequencies depend on the text's length."""
    said = stated_rope(vars(config))
    each = [said, *(part for part in said.values() if isinstance(part, dict))]
    return [rope for rope in each if rope.get("rope_type", rope.get("type")) in GROWING]


def is_dynamic(config: Any) -> bool:
    """Whether frequencies grow with every id beyond the border."""
    kinds = (rope.get("rope_type", rope.get("type")) for rope in growing_ropes(config))
    return "dynamic" in kinds


def lower(config: Any, border: int) -> None:
    """Let a config have its borders at `border` ids."""
    for name in WINDOWS:
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, border)
    for rope in growing_ropes(config):
        rope["original_max_position_embeddings"] = border
    if is_dynamic(config):
        config.max_position_embeddings = border
