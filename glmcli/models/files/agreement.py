"""Whether config.json and the weights describe the same net, as far as their headers tell.

A library would build what config.json says first, whatever its size, and look at the weights then.
Knows names and shapes, not what a net computes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glmcli.errors import ModelError
from glmcli.language import tr
from glmcli.models.files.headers import Tensor
from glmcli.models.meaning import ids_of, text_part, vocabulary_of

LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.")
REUSED = 32
"""Times that a net may go through the same layer; the plain ones do so once."""
_PLAIN = ("llama", "mistral", "qwen2", "qwen3", "glm", "glm4", "chatglm")
"""Families whose embedding is one row of `hidden_size` numbers for each token."""
MATRIX = re.compile(r"model\.layers\.\d+\.(self_attn\.[qk]_proj|mlp\.gate(?:_up)?_proj)\.weight$")
_SHAPED = ("llama", "mistral", "qwen2", "qwen3", "glm", "glm4", "gemma", "gemma2", "qwen3_moe")
"""Families whose matrices have the usual names and shapes."""
_PADDED = ("llama", "mistral", "qwen2", "qwen3", "glm", "glm4", "gemma", "gemma2", "qwen3_moe")
"""Families whose embedding has a row of zeros for padding."""
_NO_PART = ("llama", "glm", "glm4")
"""Families without a size of their own for layers that read a part of the text."""
SIZE_OF_KIND = {
    "sliding_attention": "sliding_window",
    "chunked_attention": "attention_chunk_size",
}
"""Layers that read a part of the text -> what says how large it is."""
EMBEDDINGS = ("model.embed_tokens.weight", "transformer.embedding.word_embeddings.weight")
PLACES = re.compile(r"\.(wpe|embed_positions|position_embeddings?)\.weight$")
"""A row for each place in the text, learned: there is none beyond the last."""
COUNTED = {
    "codegen": ("n_positions", 2048),
    "ctrl": ("n_positions", 256),
    "gpt_neo": ("max_position_embeddings", 2048),
    "gptj": ("n_positions", 2048),
    "mpt": ("max_seq_len", 2048),
    "openai-gpt": ("n_positions", 512),
}
"""Families that make a table of places when they are built -> what says how many, and how many."""
ON_THE_WAY = frozenset(
    {
        *("bitsandbytes", "eetq", "fbgemm_fp8", "fp8", "higgs", "hqq", "metal", "mxfp4", "quanto"),
        *("sinq", "torchao"),
    }
)
"""Ways to quantise in which a library would, while it loads, whatever is not yet quantised."""


def check_sizes(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise ModelError for a net that is larger than the weights, or of another width.

    `config` was checked. Packed weights do not show their sizes, and .bin files show none.
    """
    whole = text_part(config)
    check_kinds(whole)
    if not tensors:
        return
    if quantization := config.get("quantization_config"):
        check_packed(quantization, tensors)
        return
    check_layers(whole, tensors)
    check_embedding(whole, tensors)
    check_padding(whole)
    largest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    for name, size in sizes(whole):
        if size > largest:
            raise differs(
                name, f"{size:,}", tr("no side of a tensor is longer than {most:,}", most=largest)
            )
    check_shapes(whole, tensors)


def check_packed(quantization: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise ModelError for weights that only config.json calls quantised."""
    how = quantization.get("quant_method")
    packed = any(not tensor.is_float for tensor in tensors.values())
    if quantization.get("load_in_4bit") or quantization.get("load_in_8bit"):
        how = how or "bitsandbytes"
    if isinstance(how, str) and how in ON_THE_WAY and not packed:
        raise differs("quantization_config", how, tr("the weights are not quantised"))


def check_kinds(config: Mapping[str, Any]) -> None:
    """Raise ModelError for layers that read a part of the text, if it is not said how large."""
    has_default = config.get("model_type") not in _NO_PART
    for kind, name in SIZE_OF_KIND.items():
        if kind not in (config.get("layer_types") or []) or config.get(name, has_default):
            continue
        if name in config:
            raise differs(name, config[name], tr("layer_types asks for {kind}", kind=kind))
        raise differs("layer_types", kind, tr("there is no {name}", name=name))


def check_shapes(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise ModelError for heads or an inner width that the weights do not have."""
    wanted = rows_of(config)
    for name, tensor in tensors.items():
        match = MATRIX.match(name)
        if match and match[1] in wanted and tensor.shape:
            field, stated, rows = wanted[match[1]]
            if tensor.shape[0] != rows:
                raise differs(
                    field, stated, tr("{name} has {rows:,} rows", name=name, rows=tensor.shape[0])
                )


def rows_of(config: Mapping[str, Any]) -> dict[str, tuple[str, str, int]]:
    """The matrices whose rows are known -> the field that says so, what it says, and the rows."""
    if config.get("model_type") not in _SHAPED:
        return {}
    found = {}
    if isinstance(inner := config.get("intermediate_size"), int):
        found["mlp.gate_proj"] = ("intermediate_size", f"{inner:,}", inner)
        found["mlp.gate_up_proj"] = ("intermediate_size", f"{inner:,}", 2 * inner)
    for matrix, name in (("q", "num_attention_heads"), ("k", "num_key_value_heads")):
        heads, size = config.get(name), config.get("head_dim")
        if isinstance(heads, int) and isinstance(size, int) and size:
            stated = (f"{name} × head_dim", f"{heads:,} × {size:,}", heads * size)
            found[f"self_attn.{matrix}_proj"] = stated
    return found


def check_padding(config: Mapping[str, Any]) -> None:
    """Raise ModelError for padding beyond the embedding, in families that look it up there."""
    rows, padding = vocabulary_of(config), config.get("pad_token_id")
    if (
        config.get("model_type") in _PADDED
        and rows
        and isinstance(padding, int)
        and padding >= rows
    ):
        raise differs("pad_token_id", padding, tr("the vocabulary has {rows:,} entries", rows=rows))


def check_layers(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise ModelError for more layers than there are weights of."""
    numbers = [int(match[1][:9]) for name in tensors for match in LAYER.finditer(f".{name}")]
    held = max(numbers, default=10**9) + 1
    most = held if config.get("model_type") in _PLAIN else REUSED * held
    for name in ("num_hidden_layers", "num_layers", "n_layer"):
        if (stated := config.get(name)) is not None and stated > most:
            raise differs(name, f"{stated:,}", tr("the weights hold {held:,} layers", held=held))


def check_embedding(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise ModelError for an embedding of another shape, in the families where it is known."""
    found = next((tensors[name] for name in EMBEDDINGS if name in tensors), None)
    if found is None or len(found.shape) != 2 or config.get("model_type") not in _PLAIN:
        return
    for names, size in ((("vocab_size", "padded_vocab_size"), 0), (("hidden_size",), 1)):
        for name in names:
            if config.get(name) not in (None, found.shape[size]):
                raise differs(
                    name, config[name], tr("the embedding has {size:,}", size=found.shape[size])
                )


def check_places(window: int, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raise ModelError for a wider window than a net has places for, learned or counted once."""
    found = [
        tensor.shape[0]
        for name, tensor in tensors.items()
        if PLACES.search(f".{name}") and len(tensor.shape) == 2
    ]
    if (family := config.get("model_type")) in COUNTED:
        name, usual = COUNTED[family]
        found.append(config.get(name) or usual)
    if (places := min(found, default=window)) < window:
        raise ModelError(
            tr(
                "--window is {window:,}, but the model has {rows:,} places for tokens",
                window=window,
                rows=places,
            ),
            tr("leave --window out"),
        )


def check_ids(config: Mapping[str, Any], ids: Sequence[int]) -> None:
    """Raise ModelError if what the tokenizer makes of a text has no row in the embedding.

    A token beyond it that no text becomes, as one for padding, does no harm.
    """
    rows = ids_of(text_part(config))
    if rows and ids and max(ids) >= rows:
        raise ModelError(
            tr(
                "the tokenizer gives a word the id {id:,}, but the vocabulary has {rows:,} entries",
                id=max(ids),
                rows=rows,
            ),
            tr("the tokenizer belongs to another model: download the model again"),
        )


def sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The sizes that are a side of some tensor, with the names of their fields."""
    for name in ("hidden_size", "vocab_size", "padded_vocab_size"):
        if config.get(name):
            yield name, config[name]
    for name in ("intermediate_size", "ffn_hidden_size"):
        if isinstance(config.get(name), int | float):
            yield name, config[name]
    heads = config.get("num_attention_heads") or 1
    for name in ("head_dim", "kv_channels"):
        if isinstance(size := config.get(name), int) and isinstance(heads, int):
            yield f"num_attention_heads × {name}", heads * size


def differs(name: str, stated: object, found: str) -> ModelError:
    """The error for a field that the weights contradict."""
    return ModelError(
        tr("config.json: {name} is {stated}, but {found}", name=name, stated=stated, found=found),
        tr("config.json belongs to another model, or the weights are not whole"),
    )
