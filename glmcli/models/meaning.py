"""What a config.json means, whatever its family calls it: the text model, its window, its cache.

Knows nothing of torch, nor of what the fields may hold: see models/files/fields.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glmcli.errors import ModelError
from glmcli.models.files.fields import check_config
from glmcli.models.files.small import read_checkpoint_json

_Config = Mapping[str, Any]


def text_part(config: _Config) -> dict[str, Any]:
    """The config of the part that reads and writes text, with all else of the whole."""
    return {**config, **(config.get("text_config") or {})}


def config_of(folder: Path) -> dict[str, Any]:
    """The text model's config, but the family of the whole; empty if it cannot be what it says."""
    try:
        config = read_checkpoint_json(folder / "config.json")
        check_config(config)
    except ModelError:
        return {}
    return {**text_part(config), "model_type": config.get("model_type")}


WIDENING = ("yarn", "linear", "dynamic", "longrope", "su")
"""Kinds of rotary scaling by which a net reads further than it was trained for."""


def stated_window(config: _Config) -> int | None:
    """The window that a config states, widened if its rotary settings are.

    Whoever adds them may have written the wider window into the config or not: the larger counts.
    """
    names = ("max_position_embeddings", "seq_length", "n_positions", "max_seq_len")
    stated = next((int(config[name]) for name in names if config.get(name)), None)
    rope = rope_of(config)
    kind, factor = rope.get("rope_type") or rope.get("type"), rope.get("factor")
    # Where some layers turn as they were trained to, the window is the wider one already.
    if not stated or not factor or kind not in WIDENING or config.get("rope_local_base_freq"):
        return stated
    return max(stated, int(factor * (trained_window(config) or stated)))


def trained_window(config: _Config) -> int | None:
    """The window before it was widened, where the config says so."""
    name = "original_max_position_embeddings"
    trained = rope_of(config).get(name) or config.get(name)
    return int(trained) if trained else None


def rope_of(config: _Config) -> dict[str, Any]:
    """The rotary settings, with the base where they do not state it."""
    return {"rope_theta": config.get("rope_theta", 10_000.0), **stated_rope(config)}


def stated_rope(config: _Config) -> dict[str, Any]:
    """The rotary settings as a config states them: where both fields are there, the old one counts.

    Releases 4 and 5 of transformers agree in that.
    """
    stated: dict[str, Any] = config.get("rope_scaling") or config.get("rope_parameters") or {}
    return stated


def layers_of(config: _Config) -> int | None:
    """How many layers a config states."""
    return first_number(config, "num_hidden_layers", "num_layers", "n_layer")


TABLED_BY_LAYER = "gemma4"
"""Families that look an id up for each layer too, and cannot go on where there is no row for it."""


def vocabulary_of(config: _Config) -> int | None:
    """The rows of the embedding that a config states."""
    return first_number(config, "padded_vocab_size", "vocab_size")


def ids_of(config: _Config) -> int | None:
    """How many ids a net can look up, each of them in every table that it has."""
    rows = [vocabulary_of(config)]
    is_by_layer = str(config.get("model_type")).startswith(TABLED_BY_LAYER)
    if is_by_layer and config.get("hidden_size_per_layer_input") != 0:
        rows.append(first_number(config, "vocab_size_per_layer_input"))
    return min((number for number in rows if number), default=None)


def cache_bytes(config: _Config) -> int | None:
    """Keys and values of a full window in 16 bits; None if the config does not say."""
    window, layers = stated_window(config), layers_of(config)
    heads = first_number(config, "num_attention_heads", "n_head")
    width = first_number(config, "hidden_size", "n_embd")
    if not window or not layers or not heads or not width:
        return None
    groups = first_number(config, "num_key_value_heads", "multi_query_group_num") or heads
    head = first_number(config, "head_dim", "kv_channels") or width // heads
    return 2 * 2 * window * layers * groups * head


def first_number(config: _Config, *names: str) -> int | None:
    """The first of these fields that is a whole number."""
    values = (config.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and value), None)
